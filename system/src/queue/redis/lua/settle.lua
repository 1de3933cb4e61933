-- Comes before both scripts of a commit, whose first keys and arguments are the same.
-- KEYS  tasks, results, committed, dead, progress, kernels
-- ARGV  group, consumer, what the results were computed by, or '' where nobody is to ask for that
local tasks, results, committed, dead, progress, kernels = unpack(KEYS)
local group, consumer, kernel = unpack(ARGV, 1, 3)

-- Whether that is not written down any more.
local function is_unknown()
  if kernel == '' then
    return false
  end
  for _, there in ipairs(redis.call('SMEMBERS', kernels)) do
    if there == kernel then
      return false
    end
  end
  return true
end

-- Why so many new results could not be stored and their tasks acknowledged, if that is so. What needs memory
-- comes first: where there is none, only the first of all writes is refused.
local function cannot_settle(new)
  local no
  if new > 0 then
    no = refused('bit offset', 'BITFIELD', committed, 'SET', 'u1', 'x', 1)
      or refused(nil, 'XLEN', results) or no_counter(progress, 'committed')
  end
  return no or refused(nil, 'XACK', tasks, group, '0-0')
end

-- Settled tasks make room, where that is asked for: those before the first that is with somebody, and before
-- the last that was handed to anybody. So the stream is never empty, and whatever is open stays. Whole nodes
-- of it only (`~`), which costs nothing where there is none to go.
local function trim()
  local groups = redis.call('XINFO', 'GROUPS', tasks)
  -- Another group may not have read so far.
  if #groups ~= 1 then
    return
  end
  local info = {}
  for at = 1, #groups[1], 2 do
    info[groups[1][at]] = groups[1][at + 1]
  end
  local first = info['last-delivered-id']
  if info.pending > 0 then
    first = redis.call('XPENDING', tasks, group)[2]
  end
  local trimmed = redis.call('XTRIM', tasks, 'MINID', '~', first)
  if trimmed > 0 then
    redis.call('HINCRBY', progress, 'trimmed', trimmed)
  end
end

local function make_room()
  if redis.call('HGET', progress, 'trim') == '1' then
    -- What cannot go stays: the results are stored.
    pcall(trim)
  end
end
