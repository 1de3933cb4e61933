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

-- First what is asked, then what is to be done about it.
local firsts, chunks, here, look, acknowledged = {}, {}, {}, {}, {}
local count, acks, at = 0, 0, 3
while at <= #ARGV do
  local id, chunk, n = ARGV[at], ARGV[at + 2], tonumber(ARGV[at + 3])
  local last = at + 3 + n
  if n < 2 or n % 2 == 1 or last > #ARGV then
    return redis.error_reply('ERR a result is malformed')
  end
  local l = 3 * count
  look[l + 1], look[l + 2], look[l + 3] = 'GET', 'u1', chunk
  count = count + 1
  firsts[count], chunks[count], here[count] = at + 4, chunk, exists(id)
  if numbers[id] == tonumber(ARGV[at + 1]) then
    acks = acks + 1
    acknowledged[acks] = id
  end
  at = last + 1
end
firsts[count + 1] = at + 4
local is_committed = redis.call('BITFIELD_RO', committed, unpack(look))
local is_dead = redis.call('EXISTS', dead) == 1 and redis.call('BITFIELD_RO', dead, unpack(look))

local outcomes, set, seen, new = {}, {}, {}, 0
for place = 1, count do
  local chunk = chunks[place]
  outcomes[place] = 0
  if here[place] and is_committed[place] == 0 and not (is_dead and is_dead[place] == 1)
    and not seen[chunk] then
    local l = 4 * new
    set[l + 1], set[l + 2], set[l + 3], set[l + 4] = 'SET', 'u1', chunk, 1
    seen[chunk], outcomes[place], new = true, 1, new + 1
  end
end

-- What needs memory comes first: where there is none, only the first of all writes is refused.
local no
if new > 0 then
  no = refused('bit offset', 'BITFIELD', committed, 'SET', 'u1', 'x', 1)
    or refused(nil, 'XLEN', results) or no_counter(progress, 'committed')
end
no = no or refused(nil, 'XACK', tasks, group, '0-0')
if no then
  return no
end
-- First of all writes: it is the one that may be refused for more reasons than were tried.
for place = 1, count do
  if outcomes[place] == 1 then
    redis.call('XADD', results, '*', unpack(ARGV, firsts[place], firsts[place + 1] - 5))
  end
end
if new > 0 then
  redis.call('BITFIELD', committed, unpack(set))
  redis.call('HINCRBY', progress, 'committed', new)
end
if acks > 0 then
  redis.call('XACK', tasks, group, unpack(acknowledged))
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

if #acknowledged > 0 and redis.call('HGET', progress, 'trim') == '1' then
  -- What cannot go stays: the results are stored.
  pcall(trim)
end
return outcomes
