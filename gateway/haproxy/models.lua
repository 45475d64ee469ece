-- The model that a JSON body names among its last members, as it does where a long `messages` comes
-- first: reading the whole of such a body costs more than all else. Empty where the end of the body
-- does not prove it; then it is read from its beginning.
--
-- The proof, for JSON without mistakes: from `"model"` on no quote is escaped and their number is
-- even, so `"model"` begins outside of all strings; and all brackets after it are paired but for the
-- very last one, which is that of the outermost object.
local END_BYTES = 1024

local function last(text, word)
  local found, from = nil, 0
  repeat
    found, from = from, text:find(word, from + 1, true)
  until not from
  return found
end

local function is_end_of_object(text)
  local bare = text:gsub('"[^"]*"', ""):gsub("%b{}", ""):gsub("%b[]", "")
  return bare:find('^[^%[%]{}"]*}%s*$') ~= nil
end

local function last_model(body)
  local text = body:sub(-END_BYTES)
  local at = last(text, '"model"')
  if at < 2 or not text:find("^[{,%s]", at - 1) then
    return ""
  end
  local name, rest = text:match('^:%s*"([^"]*)"(.*)$', text:find("[^%s]", at + 7))
  if not name or text:find("\\", at, true) or not is_end_of_object(rest) then
    return ""
  end
  return name
end

core.register_fetches("last_model", function(txn)
  local body = txn.f:req_body()
  -- What is not whole has no end yet.
  if not body or #body ~= tonumber(txn.f:req_fhdr("content-length")) then
    return ""
  end
  return last_model(body)
end)
