-- Stores the first result of a batch, acknowledges all of it, and opens the results for the others: they follow
-- in the same transaction, by commands that do nothing unless the results are open (XADD NOMKSTREAM). From Lua
-- each of them would cost the server twice as much. All of it only where the batch is as it mostly is: its
-- oldest and newest delivery with this worker, under the number that it knows, nothing settled, and its kernel
-- written down. Where it is not, nothing is done and the answer is false: `commit.lua` then looks at each.
-- To ask for all of them would be an eighth of the server's work. Tasks of another sweep lie before or behind;
-- and should somebody else have one between, its acknowledgement spares him the work, since its chunk is settled
-- with this.
-- KEYS  as in settle.lua, and what the results are called while they are open
-- ARGV  as in settle.lua; delivery number, number of results, the ids of their entries in order; number of
--       words of bits, then of each its place and the bits of the batch in it; the fields of the first result
local open, number = KEYS[7], tonumber(ARGV[4])
local first, last = 6, 5 + tonumber(ARGV[5])
for _, id in ipairs({ ARGV[first], ARGV[last] }) do
  local pending = redis.call('XPENDING', tasks, group, id, id, 1, consumer)[1]
  if not pending or pending[4] ~= number then
    return false
  end
end
if is_unknown() then
  return false
end

local words = tonumber(ARGV[last + 1])
local look, set = {}, {}
for word = 1, words do
  local l, at = #look, '#' .. ARGV[last + 2 * word]
  look[l + 1], look[l + 2], look[l + 3] = 'GET', 'i32', at
end
local settled = redis.call('BITFIELD_RO', committed, unpack(look))
local is_dead = redis.call('EXISTS', dead) == 1 and redis.call('BITFIELD_RO', dead, unpack(look))
for word = 1, words do
  local bits = tonumber(ARGV[last + 1 + 2 * word])
  if bit.band(bit.bor(settled[word], is_dead and is_dead[word] or 0), bits) ~= 0 then
    return false
  end
  local s = #set
  set[s + 1], set[s + 2], set[s + 3] = 'SET', 'i32', look[3 * word]
  set[s + 4] = bit.bor(settled[word], bits)
end

local new = last - first + 1
-- A server before 6.2 does not know NOMKSTREAM, and says so before anything is written.
local no = cannot_settle(new) or refused('no such key', 'RENAMENX', open, results)
  or refused(nil, 'XADD', open, 'NOMKSTREAM', '*', 'a', 'b')
if no then
  return no
end
-- First of all writes: it is the one that may be refused for more reasons than were tried. Where the stream is
-- near its end, those that follow would be.
local id = redis.call('XADD', results, '*', unpack(ARGV, last + 2 + 2 * words))
if string.sub(id, 1, 20) == '18446744073709551615' then
  redis.call('XDEL', results, id)
  return false
end
-- Before anything is marked: whatever fails from here on, the others are stored.
redis.call('RENAMENX', results, open)
redis.call('BITFIELD', committed, unpack(set))
redis.call('HINCRBY', progress, 'committed', new)
redis.call('XACK', tasks, group, unpack(ARGV, first, last))
make_room()
return new
