-- Ends a search for lost tasks, unless it has become somebody else's: it took too long.
-- KEYS  search
-- ARGV  whose search it is
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
