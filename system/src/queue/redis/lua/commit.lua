-- Stores results and acknowledges their deliveries. The first commit of a chunk wins; a delivery
-- is acknowledged only by the worker that it is with, under the number that it knows.
-- KEYS  tasks, results, committed, dead, progress
-- ARGV  group, consumer, then for each: entry id, delivery number, chunk index, n, n fields
local tasks, results, committed, dead, progress = unpack(KEYS)
local group, consumer = ARGV[1], ARGV[2]
local outcomes = {}
local at = 3
while at <= #ARGV do
  local id, number, chunk, n = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  at = at + 4
  local pending = redis.call('XPENDING', tasks, group, id, id, 1)[1]
  -- A task that is gone was of a sweep that was discarded.
  local settled = not pending and #redis.call('XRANGE', tasks, id, id) == 0
    or redis.call('GETBIT', committed, chunk) == 1
    or redis.call('GETBIT', dead, chunk) == 1
  if not settled then
    redis.call('SETBIT', committed, chunk, 1)
    redis.call('XADD', results, '*', unpack(ARGV, at, at + n - 1))
    redis.call('HINCRBY', progress, 'committed', 1)
  end
  if pending and pending[2] == consumer and pending[4] == number then
    redis.call('XACK', tasks, group, id)
  end
  outcomes[#outcomes + 1] = settled and 0 or 1
  at = at + n
end
return outcomes
