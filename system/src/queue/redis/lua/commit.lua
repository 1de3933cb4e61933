-- Stores results and acknowledges their deliveries, each as it is found. The first commit of a chunk wins; a
-- delivery is acknowledged only by the worker that it is with, under the number that it knows.
-- KEYS  as in settle.lua
-- ARGV  as in settle.lua; number of fields of a result, then name and value of each, where '' stands for a
--       value that each result has of its own; then for each: entry id, delivery number, chunk index,
--       its own values
-- Returns for each whether it was stored; or false, with nothing done, where any would be and it is not written
-- down any more what they were computed by.
-- The commands and their arguments are most of the cost: what can be one for all of them, is.
local width = tonumber(ARGV[4])
-- An entry of the results, and which of its places each result fills.
local entry, own = { results, '*' }, {}
for at = 5, 4 + 2 * width do
  entry[at - 2] = ARGV[at]
  if ARGV[at] == '' then
    own[#own + 1] = at - 2
  end
end
local first, step = 5 + 2 * width, 3 + #own
local count = (#ARGV + 1 - first) / step
if #own == 0 or count < 0 or count % 1 ~= 0 then
  return redis.error_reply('ERR a result is malformed')
end

local numbers = {}
for _, pending in ipairs(redis.call('XPENDING', tasks, group, '-', '+', 1000, consumer)) do
  numbers[pending[1]] = pending[4]
end

-- Whether the task is there, which it is not where it was of a sweep that was discarded.
local function exists(id)
  local pending = redis.call('XPENDING', tasks, group, id, id, 1)[1]
  if pending and pending[2] == consumer then
    numbers[id] = pending[4]
  end
  return pending or #redis.call('XRANGE', tasks, id, id) == 1
end

-- First what is asked, then what is to be done about it. Bits are read and written by words of 32, in which
-- the first is the highest: chunks of a batch mostly lie side by side.
local here, acknowledged, words, bits = {}, {}, {}, {}
local order, place_of, look = {}, {}, {}
for place = 1, count do
  local at = first + (place - 1) * step
  local id, chunk = ARGV[at], tonumber(ARGV[at + 2])
  local word = math.floor(chunk / 32)
  if not place_of[word] then
    order[#order + 1] = word
    place_of[word] = #order
    local l = #look
    look[l + 1], look[l + 2], look[l + 3] = 'GET', 'i32', '#' .. word
  end
  words[place], bits[place] = place_of[word], bit.lshift(1, 31 - chunk % 32)
  here[place] = numbers[id] or exists(id)
  if numbers[id] == tonumber(ARGV[at + 1]) then
    acknowledged[#acknowledged + 1] = id
  end
end
local settled = redis.call('BITFIELD_RO', committed, unpack(look))
local is_dead = redis.call('EXISTS', dead) == 1 and redis.call('BITFIELD_RO', dead, unpack(look))

local outcomes, added, new = {}, {}, 0
for place = 1, count do
  local word, chunk = words[place], bits[place]
  local before = bit.bor(settled[word], added[word] or 0, is_dead and is_dead[word] or 0)
  outcomes[place] = 0
  if here[place] and bit.band(before, chunk) == 0 then
    added[word] = bit.bor(added[word] or 0, chunk)
    outcomes[place], new = 1, new + 1
  end
end

-- Whoever stores nothing computes nothing of the sweep either.
if new > 0 and is_unknown() then
  return false
end
local no = cannot_settle(new)
if no then
  return no
end
-- First of all writes: it is the one that may be refused for more reasons than were tried.
for place = 1, count do
  if outcomes[place] == 1 then
    local at = first + (place - 1) * step + 2
    for i = 1, #own do
      entry[own[i]] = ARGV[at + i]
    end
    redis.call('XADD', unpack(entry))
  end
end
if new > 0 then
  local set = {}
  for place, word in ipairs(order) do
    if added[place] then
      local s = #set
      set[s + 1], set[s + 2], set[s + 3] = 'SET', 'i32', '#' .. word
      set[s + 4] = bit.bor(settled[place], added[place])
    end
  end
  redis.call('BITFIELD', committed, unpack(set))
  redis.call('HINCRBY', progress, 'committed', new)
end
if #acknowledged > 0 then
  redis.call('XACK', tasks, group, unpack(acknowledged))
  make_room()
end
return outcomes
