-- Waits until a sidecar takes connections on its socket, for half a minute at most. HAProxy's own
-- retries do not wait where a socket has no listener.
core.register_action("until_sidecar", { "http-req" }, function()
  for _ = 1, 300 do
    local socket = core.tcp()
    local is_there = socket:connect("unix@hold.sock")
    socket:close()
    if is_there then
      return
    end
    core.msleep(100)
  end
end)
