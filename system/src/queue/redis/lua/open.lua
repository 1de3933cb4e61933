-- Opens a sweep, or finds one.
-- KEYS  metadata, progress
-- ARGV  the fields of the metadata
-- Returns all fields of the metadata and the number of chunks submitted.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
  redis.call('HSET', KEYS[2], 'submitted', 0)
end
return { redis.call('HGETALL', KEYS[1]), redis.call('HGET', KEYS[2], 'submitted') or 0 }
