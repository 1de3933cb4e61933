-- Where the sweep stands.
-- KEYS  metadata, progress, tasks, results, retry
-- ARGV  group
-- Returns the number of chunks (nothing where nobody has said), and of those submitted, committed
-- and dead.
local metadata, progress, tasks, results, retry = unpack(KEYS)
local function count(name)
  return tonumber(redis.call('HGET', progress, name))
end
-- As it is written: a number that cannot be is for the caller to refuse.
local said = redis.call('HGET', metadata, 'total_chunks')
local total = tonumber(said)
-- A foreign coordinator does not count what it submits.
local submitted = count('submitted') or redis.call('XLEN', tasks)
local committed, dead = count('committed') or 0, count('dead') or 0
-- Nor do foreign workers count what they commit: it is what is not open any more.
local group = redis.call('XLEN', results) > committed and group_of(tasks, ARGV[1])
if group and group.lag then
  local open = group.lag + group.pending + redis.call('ZCARD', retry)
  committed = math.max(committed, math.min(submitted, total or submitted) - dead - open)
end
return { said, submitted, committed, dead }
