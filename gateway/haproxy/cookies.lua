-- Takes our cookies, the dashboard's and those that open services, out of what a service gets, whichever Cookie header they stand in, and
-- leaves all others as they came.
local OURS = {
  dstack_session = true,
  dstack_csrf = true,
  dstack_open = true,
  ["__Host-dstack_open"] = true,
}

local function without_ours(text)
  local kept, found = {}, false
  for pair in text:gmatch("[^;]+") do
    if OURS[pair:match("^%s*([^=]-)%s*=")] then
      found = true
    else
      kept[#kept + 1] = pair
    end
  end
  return found and table.concat(kept, ";"):gsub("^%s+", "") or text
end

core.register_action("hide_cookies", { "http-req" }, function(txn)
  local sent = txn.http:req_get_headers()["cookie"]
  txn.http:req_del_header("cookie")
  for at = 0, #sent do
    local kept = without_ours(sent[at])
    if kept ~= "" then
      txn.http:req_add_header("cookie", kept)
    end
  end
end)
