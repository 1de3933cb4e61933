-- How much is in each queue.
-- KEYS  tasks, results, retry, dead letters
-- ARGV  group
-- Returns the tasks that nobody has settled, results, tasks that wait for their next attempt, and
-- dead letters. Settled tasks stay in their stream; they are not counted.
local tasks, results, retry, letters = unpack(KEYS)
local open = redis.call('XLEN', tasks)
local group = open > 0 and group_of(tasks, ARGV[1])
if group then
  local after = '(' .. group['last-delivered-id']
  local lag = group.lag or #redis.call('XRANGE', tasks, after, '+')
  open = lag + group.pending
end
return {
  open, redis.call('XLEN', results), redis.call('ZCARD', retry), redis.call('XLEN', letters),
}
