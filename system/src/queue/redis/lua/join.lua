-- Makes the consumer group, and a worker known. Says what this data is, which is said once for ever.
-- KEYS  tasks, members, store
-- ARGV  group, consumer, its nonce, a name for the data where it has none
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then
  return made
end
-- Older servers do it only when there is something to read.
redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('SETNX', KEYS[3], ARGV[4])
return redis.call('GET', KEYS[3])
