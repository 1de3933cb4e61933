-- Submits tasks again that are in no queue, unless their chunk is settled by now, or somebody else has
-- taken on the search.
-- KEYS  tasks, committed, dead, search
-- ARGV  whose search it is, number of fields of a task, then for each: chunk index, n fields
-- Returns how many.
local tasks, committed, dead, search = unpack(KEYS)
if redis.call('GET', search) ~= ARGV[1] then
  return 0
end
local n, count = 2 * tonumber(ARGV[2]), 0
for at = 3, #ARGV, n + 1 do
  local chunk = ARGV[at]
  if redis.call('GETBIT', committed, chunk) == 0 and redis.call('GETBIT', dead, chunk) == 0 then
    redis.call('XADD', tasks, '*', unpack(ARGV, at + 1, at + n))
    count = count + 1
  end
end
return count
