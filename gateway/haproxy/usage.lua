-- How many tokens an answer of a model says it used: the last `usage` in it, in the words of each API.
--
-- A short JSON answer is read at once, by the converter `usage`. A stream or a long answer is looked at
-- piece by piece while it passes, by the filter `usage`, which keeps no more than the beginning of what
-- it is in the middle of. Making a filter costs little and being called by HAProxy much, so a filter
-- has no callback but the one for bytes, and asks for bytes only where `watch_usage` is called.

-- What a request leaves is young garbage. Collecting that alone takes a fortieth off a chat's instructions;
-- Lua 5.3, which HAProxy 2.6 of Debian has, cannot.
pcall(collectgarbage, "generational")

local KEY = '"usage"'
-- Of an object `usage` whose end has not come yet.
local MOST_KEPT_BYTES = 4096
-- Most long answers say it so near to their end; looking there first finds the same.
local END_BYTES = 512
-- More is no count of tokens.
local MOST_TOKENS = 100000000

-- Finding plain text costs a tenth of what a pattern does that may begin anywhere.
local function number(text, name)
  local _, stop = text:find(name, 1, true)
  local found = stop and tonumber(text:match("^%s*:%s*(%d+)", stop + 1))
  return found and found <= MOST_TOKENS and found or nil
end

-- The tokens in and out of one `usage`; nil for each that it does not say. Anthropic counts what came
-- out of a cache, or went into it, apart.
local function amounts(object)
  local flat = object:sub(2, -2)
  if flat:find("{", 1, true) then
    flat = flat:gsub("%b{}", "")
  end
  local prompt = number(flat, '"prompt_tokens"')
  if not prompt then
    prompt = number(flat, '"input_tokens"')
    if prompt then
      prompt = prompt + (number(flat, '"cache_creation_input_tokens"') or 0)
        + (number(flat, '"cache_read_input_tokens"') or 0)
    end
  end
  return prompt, number(flat, '"completion_tokens"') or number(flat, '"output_tokens"')
end

-- Whether an object may begin at the end of a text, or has begun and has no end yet.
local function is_cut_off(text, at)
  return #text - at < MOST_KEPT_BYTES
    and (text:find("^%s*:?%s*$", at) or text:find("^%s*:%s*{", at)) ~= nil
end

-- Calls `found` for each `usage` in a text; returns where one begins that is cut off. In a string the
-- key's quotes would be escaped, so what a model writes is not taken for it.
local function each_usage(text, found)
  local at = text:find(KEY, 1, true)
  while at do
    local after = at + #KEY
    local object = text:match("^%s*:%s*(%b{})", after)
    if object then
      found(amounts(object))
    elseif is_cut_off(text, after) then
      return at
    end
    at = text:find(KEY, after, true)
  end
end

-- An answer that makes no text says only what came in.
local function last_amounts(text)
  local tokens_in, tokens_out
  each_usage(text, function(one_in, one_out)
    if one_in or one_out then
      tokens_in, tokens_out = one_in or 0, one_out or 0
    end
  end)
  return tokens_in, tokens_out
end

-- `IN:OUT`, or an empty text where nothing was said.
core.register_converters("usage", function(body)
  local tokens_in, tokens_out
  if #body > END_BYTES then
    tokens_in, tokens_out = last_amounts(body:sub(-END_BYTES))
  end
  if not tokens_in then
    tokens_in, tokens_out = last_amounts(body)
  end
  return tokens_in and string.format("%d:%d", tokens_in, tokens_out) or ""
end)

local Usage = {}
Usage.__index = Usage
Usage.id = "usage"
Usage.flags = filter.FLT_CFG_FL_HTX

-- HAProxy tells a new filter nothing of its request: right after it was made, the rules of the backend
-- claim it, and keep its number. Whoever no request holds any more is forgotten.
local newest
local claimed = setmetatable({}, { __mode = "v" })
local count = 0

function Usage:new()
  newest = setmetatable({ rest = "" }, Usage)
  return newest
end

-- A model server sends the headers of a stream before it has looked at the question: that an answer begins
-- is its first piece. Where nobody noted when the request began, there is nothing to count from.
local function first_piece(txn)
  local began = txn:get_var("txn.began")
  if began then
    txn:set_var("txn.first", txn.f:date(0, "us") - began)
  end
end

function Usage:http_payload(txn, message)
  local piece = message:body()
  if not piece or piece == "" then
    return
  end
  if not self.begun then
    self.begun = true
    first_piece(txn)
  end
  local text = self.rest .. piece
  local open = each_usage(text, function(tokens_in, tokens_out)
    -- Anthropic says at the beginning what came in, and at the end what went out.
    if tokens_in then
      txn:set_var("txn.tokens_in", tokens_in)
    end
    if tokens_out then
      txn:set_var("txn.tokens_out", tokens_out)
    end
  end)
  self.rest = open and text:sub(open) or text:sub(-#KEY + 1)
end

core.register_filter("usage", Usage, function(self)
  return self
end)

core.register_converters("claim_usage", function()
  count = count + 1
  claimed[count], newest = newest, nil
  return count
end)

core.register_action("watch_usage", { "http-res" }, function(txn)
  local watching = claimed[txn:get_var("txn.watching")]
  if watching then
    filter.register_data_filter(watching, txn.res)
  end
end)
