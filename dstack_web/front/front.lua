-- Waits until the web server takes connections on its socket, for so many seconds at most. HAProxy's
-- own retries do not wait where a socket has no listener.
local path, seconds = ...
core.register_action("until_web", { "http-req" }, function()
  for _ = 1, seconds * 10 do
    local socket = core.tcp()
    local is_there = socket:connect("unix@" .. path)
    socket:close()
    if is_there then
      return
    end
    core.msleep(100)
  end
end)
