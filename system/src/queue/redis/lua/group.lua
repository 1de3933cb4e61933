-- What the server knows of a consumer group, by names; nothing where there is none.
local function group_of(stream, name)
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for at = 1, #info, 2 do
      group[info[at]] = info[at + 1]
    end
    if group.name == name then
      return group
    end
  end
end
