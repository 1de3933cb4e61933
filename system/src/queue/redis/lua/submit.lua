-- Submits tasks, if exactly those before them are submitted and the sweep is still the one that is open. Returns
-- how many are by now.
-- KEYS  tasks, progress, metadata
-- ARGV  the sweep's parameters, size of a chunk and start; how many must be, number of fields of a task, then the
--       fields of each task
local tasks, progress, metadata = unpack(KEYS)
local open = redis.call('HMGET', metadata, 'total_parameters', 'chunk_size', 'start_param')
for at = 1, 3 do
  -- A foreign coordinator's begins at 0 where it says nothing.
  if (tonumber(open[at] or 0) or 0) ~= tonumber(ARGV[at]) then
    return redis.error_reply('TTGLOST another sweep is open, or none')
  end
end
local submitted = tonumber(redis.call('HGET', progress, 'submitted') or 0)
if submitted ~= tonumber(ARGV[4]) then
  return submitted
end
local n = tonumber(ARGV[5] or 1)
if (#ARGV - 5) % (2 * n) ~= 0 and #ARGV > 5 then
  return redis.error_reply('ERR a task is malformed')
end
local no = refused('wrong number', 'HSET', progress, 'a', 'b', 'c')
if no then
  return no
end
for at = 6, #ARGV, 2 * n do
  redis.call('XADD', tasks, '*', unpack(ARGV, at, at + 2 * n - 1))
  submitted = submitted + 1
end
redis.call('HSET', progress, 'submitted', submitted)
return submitted
