-- Stores results and acknowledges their deliveries. The first commit of a chunk wins; a delivery
-- is acknowledged only by the worker that it is with, under the number that it knows.
-- KEYS  tasks, results, committed, dead, progress
-- ARGV  group, consumer, then for each: entry id, delivery number, chunk index, n, n fields
-- The commands are most of the cost: what can be one for all of them, is.
local tasks, results, committed, dead, progress = unpack(KEYS)
local group, consumer = ARGV[1], ARGV[2]
local numbers = {}
for _, entry in ipairs(redis.call('XPENDING', tasks, group, '-', '+', 1000, consumer)) do
  numbers[entry[1]] = entry[4]
end
local any_dead = redis.call('EXISTS', dead) == 1

-- Whether the task is there, which it is not where it was of a sweep that was discarded.
local function exists(id)
  if numbers[id] then
    return true
  end
  local entry = redis.call('XPENDING', tasks, group, id, id, 1)[1]
  if entry and entry[2] == consumer then
    numbers[id] = entry[4]
  end
  return entry or #redis.call('XRANGE', tasks, id, id) == 1
end

local function commit(chunk, first, last)
  if any_dead and redis.call('GETBIT', dead, chunk) == 1
    or redis.call('SETBIT', committed, chunk, 1) == 1 then
    return 0
  end
  redis.call('XADD', results, '*', unpack(ARGV, first, last))
  return 1
end

local outcomes, acknowledged, count = {}, {}, 0
local at = 3
while at <= #ARGV do
  local id, number, chunk, n = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local outcome = exists(id) and commit(chunk, at + 4, at + 3 + n) or 0
  if numbers[id] == number then
    acknowledged[#acknowledged + 1] = id
  end
  outcomes[#outcomes + 1] = outcome
  count = count + outcome
  at = at + 4 + n
end
if count > 0 then
  redis.call('HINCRBY', progress, 'committed', count)
end
if #acknowledged > 0 then
  redis.call('XACK', tasks, group, unpack(acknowledged))
end
return outcomes
