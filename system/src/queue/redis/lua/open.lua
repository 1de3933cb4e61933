-- Opens a sweep, or finds one.
-- KEYS  metadata, progress, store
-- ARGV  a name for the data where it has none, the fields of the metadata
-- Returns all fields of the metadata, the number of chunks submitted, and the name of the data.
local counted = redis.call('HEXISTS', KEYS[2], 'submitted')
-- The one is made with the other and discarded with it; a foreign coordinator makes neither.
if redis.call('HEXISTS', KEYS[1], 'start_param') > counted
  or redis.call('EXISTS', KEYS[1]) < counted then
  return redis.error_reply('TTGLOST what was counted of the sweep is gone')
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
  redis.call('HSET', KEYS[2], 'submitted', 0)
end
redis.call('SETNX', KEYS[3], ARGV[1])
return {
  redis.call('HGETALL', KEYS[1]), redis.call('HGET', KEYS[2], 'submitted') or 0,
  redis.call('GET', KEYS[3]),
}
