-- The header that a rate limit counts by is known from a map, and HAProxy's own rules can only read
-- a header whose name stands in the configuration.
core.register_fetches("limit_header", function(txn)
  local name = txn:get_var("req.limit_header")
  return name and txn.f:req_fhdr(name) or ""
end)

-- A path with its escapes resolved once, slashes merged and dots resolved. What is no escape stays as
-- it is: HAProxy's own converter would give nothing at all.
core.register_converters("tidy_path", function(path)
  local plain = path:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  local kept = {}
  for segment in plain:gmatch("[^/]+") do
    if segment == ".." then
      kept[#kept] = nil
    elseif segment ~= "." then
      kept[#kept + 1] = segment
    end
  end
  local is_folder = #kept > 0 and plain:find("/%.?%.?$")
  return "/" .. table.concat(kept, "/") .. (is_folder and "/" or "")
end)
