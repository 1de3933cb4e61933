-- Opens a sweep, or finds one. Somebody else's, of which there are tasks or results and nothing was counted, is
-- taken over by whoever says how many of its chunks there are.
-- KEYS  metadata, progress, tasks, results, store
-- ARGV  a name for the data where it has none, how many chunks of somebody else's sweep there are or '', the
--       fields of the metadata
-- Returns all fields of the metadata, the number of chunks submitted or -1 where it must be said first how
-- many of somebody else's there are, and the name of the data.
local metadata, progress, tasks, results, store = unpack(KEYS)
local there = redis.call('GET', store)
local counted = redis.call('HEXISTS', progress, 'submitted')
local is_new = redis.call('EXISTS', metadata) == 0
-- The one is made with the other and discarded with it; a foreign coordinator counts nothing.
if redis.call('HEXISTS', metadata, 'submitted_by') > counted or (is_new and counted == 1) then
  return redis.error_reply('TTGLOST what was counted of the sweep is gone')
end
local is_foreign = counted == 0
  and (not is_new or redis.call('XLEN', tasks) > 0 or redis.call('XLEN', results) > 0)
if is_foreign and ARGV[2] == '' then
  return { redis.call('HGETALL', metadata), -1, there or '' }
end
local no = refused(nil, 'HGETALL', metadata) or refused(nil, 'HGET', progress, 'submitted')
if counted == 0 then
  no = no or refused('wrong number', 'HSET', metadata, 'a', 'b', 'c')
end
if no then
  return no
end
if not there then
  redis.call('SETNX', store, ARGV[1])
end
if is_new then
  redis.call('HSET', metadata, unpack(ARGV, 3))
elseif counted == 0 then
  redis.call('HSET', metadata, 'submitted_by', 'ttg')
end
if counted == 0 then
  redis.call('HSET', progress, 'submitted', is_foreign and ARGV[2] or 0)
end
return {
  redis.call('HGETALL', metadata), tonumber(redis.call('HGET', progress, 'submitted') or 0),
  there or ARGV[1],
}
