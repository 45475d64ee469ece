-- What happens where a replica closes the connection without an answer. It may have died of the
-- request, so one other replica is asked, and none where requests like it ended so before.
--
-- HAProxy's own retries can be had three times or not at all, and three would take three replicas
-- down. They stand, since connections that fail need them; here, each time before HAProxy would try
-- again, it is decided whether it may. Called for no request that was answered. HAProxy 2.6 cannot be
-- told so; there its three tries stand. What was not answered is told on the runtime socket, for the
-- events of the run.
local REPEATABLE = { GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true }
local HOLD = "hold"
local KNOWN_SECONDS = 60
local MOST_KINDS = 1000
local MOST_REQUESTS = 10000

local pages = Map.new("pages/502.map", Map._str)

-- When requests of a kind (service, method and path) last failed so, and when the time before that.
-- Whose second try succeeded is no such kind: the first replica died of something else.
local kinds, kind_count = {}, 0

local function is_known(kind, now)
  local times = kinds[kind]
  return times ~= nil and now - times.before < KNOWN_SECONDS
end

local function note(kind, now)
  local times = kinds[kind]
  if times then
    times.before, times.last = times.last, now
    return
  end
  if kind_count == MOST_KINDS then
    kinds, kind_count = {}, 0
  end
  kinds[kind], kind_count = { before = -KNOWN_SECONDS, last = now }, kind_count + 1
end

-- Requests that a replica did not answer, by slot and number, for when they come back from the hold.
local unanswered, unanswered_count = {}, 0

-- Which fields of a request's id these are; see gateway/state/records.py.
local slot_at, number_at = ...
slot_at, number_at = tonumber(slot_at), tonumber(number_at)

local function number(txn)
  local fields = {}
  for field in (txn.f:unique_id() .. ":"):gmatch("([^:]*):") do
    fields[#fields + 1] = field
  end
  local found = fields[number_at]
  return found and found:find("^[1-9]") and fields[slot_at] .. ":" .. found or nil
end

local function remember(name)
  if name and not unanswered[name] then
    if unanswered_count == MOST_REQUESTS then
      unanswered, unanswered_count = {}, 0
    end
    unanswered[name], unanswered_count = true, unanswered_count + 1
  end
end

-- The newest requests without an answer, each try of one, by number.
local tries, try_count = {}, 0
local MOST_TRIES = 100
local MOST_PATH_BYTES = 200

-- Callers choose it, and lines and words are read apart: so it has visible ASCII only.
local function visible(text)
  local escaped = text:sub(1, MOST_PATH_BYTES):gsub("[^!-~]", function(byte)
    return string.format("%%%02X", byte:byte())
  end)
  return #text > MOST_PATH_BYTES and escaped .. "..." or escaped
end

local function tell(txn, server, seconds, method, path)
  try_count = try_count + 1
  local at = string.format("%d.%06d", seconds.sec, seconds.usec)
  local words = { try_count, at, txn.f:be_name(), server, visible(method), visible(path) }
  tries[try_count], tries[try_count - MOST_TRIES] = table.concat(words, " "), nil
end

-- `NUMBER SECONDS SLOT SERVER METHOD PATH` each, oldest first.
local USAGE = "show unanswered : the newest requests that a replica closed without an answer"
core.register_cli({ "show", "unanswered" }, USAGE, function(applet)
  local lines = {}
  for number = math.max(try_count - MOST_TRIES, 0) + 1, try_count do
    lines[#lines + 1] = tries[number]
  end
  applet:send(table.concat(lines, "\n") .. "\n")
end)

-- A server that is only slow ends in the same way; its time is known where it is not an hour.
local function is_late(txn, now)
  local began = txn:get_var("txn.asked_at")
  return began ~= nil and (now - began) * 1000 >= txn.f:cur_server_timeout()
end

local function refuse(txn)
  local form = txn:get_var("txn.format") or "json"
  local reply = txn:reply({ status = 502 })
  reply:add_header("content-type", "application/x-gateway-error")
  reply:set_body(pages:lookup(form .. "-closed") .. "\n")
  txn:done(reply)
end

core.register_action("unanswered", { "tcp-res" }, function(txn)
  local server = txn.f:srv_name()
  if txn.res:may_recv() then
    -- Something came that is no answer, which HAProxy refuses.
    txn:set_var("txn.closed", "unreadable")
    return
  end
  local seconds = core.now()
  local now = seconds.sec + seconds.usec / 1000000
  if server == HOLD or not txn.req:may_recv() or is_late(txn, now) then
    return
  end
  local method, path = txn.f:method(), txn:get_var("txn.path") or "/"
  tell(txn, server, seconds, method, path)
  -- One that is about to end may close the next connection, too; before the hold it was another one.
  local name, before = number(txn), txn:get_var("txn.tried_on")
  local was_elsewhere = before and before ~= server or not before and unanswered[name or ""]
  remember(name)
  txn:set_var("txn.tried_on", server)
  txn:set_var("txn.closed", "closed")
  if not REPEATABLE[method] then
    return
  end
  local kind = table.concat({ txn.f:be_name(), method, path }, " ")
  if not was_elsewhere and not is_known(kind, now) then
    return
  end
  note(kind, now)
  if was_elsewhere then
    note(kind, now)
  end
  refuse(txn)
end)
