--- What a URL says, looked at now and then: the whole when it has changed, or each item that is new. Servers that know ETag or
--- Last-Modified (RFC 9110, section 13) are not asked for what is known already. Items are those of JSON Feed, Atom and RSS
--- 2.0, or of any JSON list.

local duration = require "weir.duration"
local json = require "weir.json"

local M = {
  kind = "watcher", name = "feed", api = 1,
  doc = "What a URL says, when it has changed; or each item of a feed, when it is new",
  options = {
    url = "string",
    every = "any = 5m",
    items = { type = "boolean", default = true },  -- one event for each new item of a feed; false: one when it has changed
    headers = { type = "object", additionalProperties = { type = "string" }, default = {} },
    existing = { type = "boolean", default = true }, -- items that are there at first count
    timeout = "any = 30s",
    max_bytes = { type = "integer", minimum = 1, default = 4194304 },
  },
}

local KNOWN_MAX = 10000 -- items that are told from new ones
local PAUSE_MAX = 3600

local ENTITIES = { lt = "<", gt = ">", amp = "&", quot = '"', apos = "'" }

local function plain(text)
  if not text then return nil end
  text = text:gsub("^%s*<!%[CDATA%[(.-)%]%]>%s*$", "%1"):gsub("<[^>]+>", "")
  return (text:gsub("&(#?x?)(%w+);", function(mark, name)
    if mark == "" then return ENTITIES[name] end
    local code = tonumber(name, mark == "#x" and 16 or 10)
    return code and code > 0 and code < 0x110000 and not (code >= 0xD800 and code < 0xE000) and utf8.char(math.tointeger(code)) or nil
  end):gsub("^%s+", ""):gsub("%s+$", ""))
end

local function element(text, ...)
  for _, name in ipairs { ... } do
    local found = text:match("<" .. name .. "[^>]*>(.-)</" .. name .. ">")
    if found then return plain(found) end
  end
end

local function xml_items(body)
  local list = {}
  for _, name in ipairs { "item", "entry" } do
    for text in body:gmatch("<" .. name .. "[%s>](.-)</" .. name .. ">") do
      local link = element(text, "link") or text:match '<link[^>]-href="([^"]*)"'
      list[#list + 1] = { id = element(text, "guid", "id") or link, title = element(text, "title"), link = link,
        summary = element(text, "description", "summary", "content"), published = element(text, "pubDate", "published", "updated") }
    end
  end
  return list
end

local function items_of(body)
  local value = json.decode(body)
  if type(value) ~= "table" then return xml_items(body) end
  if value[1] ~= nil then return value end
  return type(value.items) == "table" and value.items or nil
end

local function id_of(ctx, item)
  if type(item) ~= "table" then return ctx:digest(tostring(item)) end
  local id = item.id or item.guid or item.url or item.link
  return id ~= nil and tostring(id) or ctx:digest(json.encode(item, { canonical = true }))
end

local function header(response, name)
  local value = response.headers[name]
  return type(value) == "table" and value[1] or value
end

local function ask(ctx)
  local headers = { ["If-None-Match"] = ctx.memory.etag, ["If-Modified-Since"] = ctx.memory.modified }
  for name, value in pairs(ctx.options.headers) do headers[name] = value end
  return ctx:http { url = ctx.options.url, headers = headers, timeout = assert(duration.parse(ctx.options.timeout)),
    max_bytes = ctx.options.max_bytes }
end

local function whole(ctx, body)
  local value = json.decode(body)
  return { { type = "feed.changed", id = ctx:digest(body), subject = ctx.options.url,
    data = { url = ctx.options.url, etag = ctx.memory.etag, value = value, text = value == nil and body or nil } } }
end

-- Items that are no longer in the feed are forgotten, as soon as there are many.
local function forget(ctx, seen)
  local count = 0
  for key in ctx.marks:each() do
    count = count + 1
    if count > KNOWN_MAX and not seen[key] then ctx.marks:set(key, nil) end
  end
end

local function new_items(ctx, list)
  local events, seen = {}, {}
  local counts = ctx.memory.has_begun or ctx.options.existing
  for _, item in ipairs(list) do
    local id = id_of(ctx, item)
    local key = ctx:digest(id)
    seen[key] = true
    if ctx.marks:get(key) == nil then
      ctx.marks:set(key, true)
      if counts then events[#events + 1] = { type = "feed.item", id = id, subject = ctx.options.url, data = item } end
    end
  end
  forget(ctx, seen)
  return events
end

local function take(ctx, sink, response)
  ctx.memory.etag, ctx.memory.modified = header(response, "etag"), header(response, "last-modified")
  local list = ctx.options.items and items_of(response.body)
  local events
  if list then
    events = new_items(ctx, list)
  else
    local digest = ctx:digest(response.body)
    events = digest ~= ctx.memory.digest and (ctx.memory.has_begun or ctx.options.existing) and whole(ctx, response.body) or {}
    ctx.memory.digest = digest
  end
  ctx.memory.has_begun = true
  if #events > 0 then sink(events) else ctx:save() end
end

--- Gives an event `feed.item` for each new item, or `feed.changed`. Waits until the source ends.
---@param ctx weir.WatcherContext  memory: etag, modified, digest; marks: items that were given
---@param sink fun(events: table[])
function M.watch(ctx, sink)
  local every, failures = assert(duration.parse(ctx.options.every)), 0
  if every == 0 then error { code = "invalid", message = "every: more than no time expected, got 0s" } end
  while true do
    local response, message = ask(ctx)
    if response and (response.status == 200 or response.status == 304) then
      failures = 0
      ctx:status(nil)
      if response.status == 200 then take(ctx, sink, response) end
    else
      failures = failures + 1
      ctx:status(message or ("it answered with status %d"):format(response.status))
    end
    ctx:sleep(math.min(math.max(PAUSE_MAX, every), every * 2 ^ math.min(failures, 10)))
  end
end

return M
