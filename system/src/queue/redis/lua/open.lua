-- Opens a sweep, or finds one.
-- KEYS  metadata, progress, store
-- ARGV  a name for the data where it has none, the fields of the metadata
-- Returns all fields of the metadata, the number of chunks submitted, and the name of the data.
local metadata, progress, store = unpack(KEYS)
local there = redis.call('GET', store)
local counted = redis.call('HEXISTS', progress, 'submitted')
local is_new = redis.call('EXISTS', metadata) == 0
-- The one is made with the other and discarded with it; a foreign coordinator counts nothing.
if redis.call('HEXISTS', metadata, 'submitted_by') > counted or (is_new and counted == 1) then
  return redis.error_reply('TTGLOST what was counted of the sweep is gone')
end
local no = refused(nil, 'HGETALL', metadata) or refused(nil, 'HGET', progress, 'submitted')
if is_new then
  no = no or refused('wrong number', 'HSET', metadata, 'a', 'b', 'c')
end
if no then
  return no
end
if not there then
  redis.call('SETNX', store, ARGV[1])
end
if is_new then
  redis.call('HSET', metadata, unpack(ARGV, 2))
  redis.call('HSET', progress, 'submitted', 0)
end
return {
  redis.call('HGETALL', metadata), redis.call('HGET', progress, 'submitted') or 0,
  there or ARGV[1],
}
