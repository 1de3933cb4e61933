-- Gives deliveries back: they go to a consumer that nobody is, from which anybody takes over.
-- KEYS  tasks, releases
-- ARGV  group, consumer, the consumer that nobody is, then for each: entry id, delivery number
for at = 4, #ARGV, 2 do
  local id = ARGV[at]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  if pending and pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[at + 1]) then
    redis.call('HINCRBY', KEYS[2], id, 1)
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, id, 'JUSTID')
  end
end
return 0
