-- Makes the consumer group, and a worker known. Says what this data is, which is said once for ever.
-- KEYS  tasks, members, store
-- ARGV  group, consumer, its nonce, a name for the data where it has none
local tasks, members, store = unpack(KEYS)
local group, consumer, nonce, name = unpack(ARGV)
local there = redis.call('GET', store)
local no = refused('Invalid stream ID', 'XGROUP', 'CREATE', tasks, group, 'x', 'MKSTREAM')
  or refused('wrong number', 'HSET', members, 'a', 'b', 'c') or refused(nil, 'HGET', members, '')
if redis.call('EXISTS', tasks) == 1 then
  no = no or refused('NOGROUP', 'XGROUP', 'CREATECONSUMER', tasks, '', consumer)
else
  no = no or refused('requires the key', 'XGROUP', 'CREATECONSUMER', tasks, '', consumer)
end
if no then
  return no
end
if not there then
  redis.call('SETNX', store, name)
end
local made = redis.pcall('XGROUP', 'CREATE', tasks, group, '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then
  return made
end
-- Older servers do it only when there is something to read.
redis.call('XGROUP', 'CREATECONSUMER', tasks, group, consumer)
redis.call('HSET', members, consumer, nonce)
return there or name
