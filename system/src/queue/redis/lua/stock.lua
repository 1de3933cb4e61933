-- What of a sweep is where.
-- KEYS  metadata, progress, tasks, results, retry, committed
-- ARGV  group
-- Returns whether what was counted is gone, whether the sweep is one of ours, when it was created, its
-- chunks that are submitted, committed and dead, how many results there are, and how many tasks wait or
-- are with somebody: nothing where the server does not know that.
local metadata, progress, tasks, results, retry, bits = unpack(KEYS)
local function count(name)
  return tonumber(redis.call('HGET', progress, name)) or 0
end
local ours = redis.call('HEXISTS', metadata, 'submitted_by') == 1
local counted = redis.call('HEXISTS', progress, 'submitted') == 1
local committed, stored = count('committed'), redis.call('XLEN', results)
-- The one is made with the other and discarded with it.
local gone = ours and not counted or counted and redis.call('EXISTS', metadata) == 0
  or committed > stored or committed > 0 and redis.call('EXISTS', bits) == 0

local queued = redis.call('XLEN', tasks)
local group = queued > 0 and group_of(tasks, ARGV[1])
if group then
  queued = group.lag and group.lag + group.pending
end
return {
  gone and 1 or 0, ours and counted and 1 or 0, redis.call('HGET', metadata, 'created_at') or '',
  count('submitted'), committed, count('dead'), stored,
  queued and queued + redis.call('ZCARD', retry) or false,
}
