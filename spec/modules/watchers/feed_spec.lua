local uv = require "luv"
local worlds = require "spec.lua.weir.trigger.world"

local RSS = [=[<?xml version="1.0"?><rss version="2.0"><channel><title>T</title>
<item><title>One &amp; only</title><link>http://x/1</link><guid>g1</guid><description><![CDATA[<b>first</b>]]></description></item>
<item><title>Two</title><link>http://x/2</link><guid>g2</guid></item></channel></rss>]=]
local ATOM = [[<feed><entry><id>a1</id><title>Three</title><link rel="alternate" href="http://x/3"/><summary>s</summary></entry></feed>]]

local function pipeline(url, more)
  return ([[
local weir = require "weir"
return weir.pipeline "news" { on = { { feed = { url = "%s", every = 0.05, %s }, input = {} } },
  weir.step "note" { agent = "notes", input = { data = "$.event.data" } }, output = "$.note" }
]]):format(url, more or "")
end

describe("watcher feed", function()
  local world, server, answers, requests
  before_each(function()
    requests, answers = {}, {}
    server = assert(uv.new_tcp())
    assert(server:bind("127.0.0.1", 0))
    assert(server:listen(16, function()
      local client, text = uv.new_tcp(), ""
      server:accept(client)
      client:read_start(function(_, piece)
        if not piece then return client:close() end
        text = text .. piece
        if not text:find "\r\n\r\n" then return end
        requests[#requests + 1] = text:lower()
        local one = answers[math.min(#requests, #answers)]
        if one.etag and text:find(one.etag, 1, true) then one = { status = 304, body = "" } end
        client:write(("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(one.status or 200,
          one.etag and "ETag: " .. one.etag .. "\r\n" or "", #one.body, one.body), function() client:close() end)
      end)
    end))
  end)
  after_each(function()
    world:close()
    server:close()
  end)

  local function open(more)
    world = worlds.new { ["pipelines/news.lua"] = pipeline(("http://127.0.0.1:%d/"):format(server:getsockname().port), more) }
  end

  local function titles(count)
    local list = {}
    for index, run in ipairs(world:ended("news", count)) do list[index] = run.output.data.title or run.output.data.value or run.output.data end
    table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
    return list
  end

  it("refuses to ask without a pause", function()
    answers = { { body = RSS } }
    open()
    local ctx = { options = { every = "0s", url = "http://127.0.0.1:1/", timeout = 1 }, memory = {} }
    local ok, err = pcall(require("weir.testing").module("watchers/feed").watch, ctx, function() end)
    assert.same({ false, "invalid" }, { ok, type(err) == "table" and err.code or err })
  end)

  it("gives each item of a feed once, and asks with the ETag that it knows", function()
    answers = { { body = RSS, etag = '"1"' } }
    open()
    assert.same({ "One & only", "Two" }, titles(2))
    assert.equal("first", world:runs("news")[1].event.data.summary or world:runs("news")[2].event.data.summary)
    world:eventually(function() return #requests > 2 and requests[#requests]:find('if-none-match: "1"', 1, true) end)
    answers = { { body = ATOM, etag = '"2"' } }
    assert.same({ "One & only", "Three", "Two" }, titles(3))
    world:again()
    world:eventually(function() return #requests > 8 end)
    assert.equal(3, #world:runs "news")
  end)

  it("reads lists of JSON, and the whole where items are not wanted", function()
    answers = { { body = '[{"id": 1, "title": "a"}, {"id": 2, "title": "b"}]' } }
    open()
    assert.same({ "a", "b" }, titles(2))
    world:close()
    requests, answers = {}, { { body = '{"x": 1}' }, { body = '{"x": 1}' }, { body = '{"x": 2}' } }
    open "items = false"
    local runs = world:ended("news", 2)
    assert.same({ { x = 1 }, { x = 2 } }, { runs[1].output.data.value, runs[2].output.data.value })
  end)

  it("says when the server answers with an error, and goes on asking", function()
    answers = { { status = 500, body = "" } }
    open()
    world:eventually(function() return (world.host.triggers:list()[1].trouble or ""):find "status 500" end)
    answers = { { body = RSS } }
    titles(2)
    assert.is_nil(world.host.triggers:list()[1].trouble)
  end)
end)
