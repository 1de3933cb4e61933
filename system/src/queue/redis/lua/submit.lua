-- Submits tasks, if exactly those before them are submitted. Returns how many are by now.
-- KEYS  tasks, progress
-- ARGV  how many must be, number of fields of a task, then the fields of each task
local submitted = tonumber(redis.call('HGET', KEYS[2], 'submitted') or 0)
if submitted ~= tonumber(ARGV[1]) then
  return submitted
end
local n = tonumber(ARGV[2] or 1)
for at = 3, #ARGV, 2 * n do
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, at, at + 2 * n - 1))
  submitted = submitted + 1
end
redis.call('HSET', KEYS[2], 'submitted', submitted)
return submitted
