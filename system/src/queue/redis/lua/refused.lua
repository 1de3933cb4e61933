-- Comes before each script that writes more than once: nothing is undone on this server, so whatever
-- can be refused is found out before the first write. A command is tried in a way that changes
-- nothing: it fails by its arguments, and says `expected`, or finds nothing to do. What it says
-- otherwise (the user may not, memory is full, the key is of another type) is returned.
local function refused(expected, ...)
  local told = redis.pcall(...)
  if type(told) == 'table' and told.err
    and not (expected and string.find(told.err, expected, 1, true)) then
    return told
  end
end

-- The same of a counter in a hash, which others may have set to anything.
local function no_counter(hash, field)
  local told = redis.pcall('HGET', hash, field)
  if type(told) == 'table' and told.err then
    return told
  end
  -- Of 18 digits, so that it can be added to.
  if told and (#told > 18 or not string.find(told, '^-?%d+$')) then
    return redis.error_reply('ERR ' .. hash .. ' ' .. field .. ' is no number')
  end
  return refused('not an integer', 'HINCRBY', hash, field, 'x')
end
