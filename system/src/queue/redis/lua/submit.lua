-- Submits tasks, if exactly those before them are submitted. Returns how many are by now.
-- KEYS  tasks, progress
-- ARGV  how many must be, number of fields of a task, then the fields of each task
local tasks, progress = unpack(KEYS)
local submitted = tonumber(redis.call('HGET', progress, 'submitted') or 0)
if submitted ~= tonumber(ARGV[1]) then
  return submitted
end
local n = tonumber(ARGV[2] or 1)
if (#ARGV - 2) % (2 * n) ~= 0 and #ARGV > 2 then
  return redis.error_reply('ERR a task is malformed')
end
local no = refused('wrong number', 'HSET', progress, 'a', 'b', 'c')
if no then
  return no
end
for at = 3, #ARGV, 2 * n do
  redis.call('XADD', tasks, '*', unpack(ARGV, at, at + 2 * n - 1))
  submitted = submitted + 1
end
redis.call('HSET', progress, 'submitted', submitted)
return submitted
