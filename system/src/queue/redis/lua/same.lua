-- Comes before each script: refuses where the data of the server is not what it was. The last key
-- names it, the last argument says what it was, or nothing where that is not known.
do
  local store, was = table.remove(KEYS), table.remove(ARGV)
  if was ~= '' and redis.call('GET', store) ~= was then
    return redis.error_reply('TTGLOST the data of this server was lost')
  end
end
