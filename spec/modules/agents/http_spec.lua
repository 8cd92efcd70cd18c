local testing = require "weir.testing"
local http = testing.module("agents/http")

local function run(input, options, answer, message, code)
  local asked
  local ctx = testing.context(http, { options = options })
  ctx.http = function(_, request)
    asked = request
    return answer, message, code
  end
  local output, why, which = http.execute(ctx, input)
  return output, why, which, asked
end

local function answer(status, body)
  return { status = status, headers = { ["content-type"] = "text/plain" }, body = body }
end

describe("agent http", function()
  it("makes a request and gives the answer", function()
    local output, _, _, asked = run({ url = "https://example.org/a", headers = { Accept = "x/y" } },
      { headers = { ["X-A"] = "1" }, timeout = 5 }, answer(200, "hello"))
    assert.equal("hello", output.body)
    assert.equal(200, output.status)
    assert.equal("GET", asked.method)
    assert.same({ accept = "x/y", ["x-a"] = "1" }, asked.headers)
    assert.equal(5, asked.timeout)
  end)

  it("asks allowed hosts only, whatever the url looks like", function()
    local options = { hosts = { "example.org", "*.trusted.net" } }
    for _, url in ipairs({ "http://example.org", "https://EXAMPLE.org:8443/x", "http://u@a.trusted.net/" }) do
      assert.is_truthy(run({ url = url }, options, answer(200, "")), url)
    end
    for _, url in ipairs({ "http://evil.org", "http://example.org.evil.org/", "http://example.org@evil.org/",
      "http://evil.org\\@example.org/", "http://trusted.net/", "http://eviltrusted.net", "http://[::1]/" }) do
      local output, _, code, asked = run({ url = url }, options, answer(200, ""))
      assert.is_nil(output, url)
      assert.equal("denied", code, url)
      assert.is_nil(asked)
    end
  end)

  it("has redirects held to the hosts that are named", function()
    local _, _, _, asked = run({ url = "http://example.org" }, { hosts = { "example.org" } }, answer(200, ""))
    assert.same({ "example.org" }, asked.hosts)
    _, _, _, asked = run({ url = "http://example.org" }, {}, answer(200, ""))
    assert.is_nil(asked.hosts)
  end)

  it("puts secrets into headers, over what the input says, for hosts that are named only", function()
    local secrets = { Authorization = "Bearer {A_KEY}!", ["X-Key"] = "{B/2}", ["X-Both"] = "{A_KEY}{B/2}" }
    local _, _, _, asked = run({ url = "http://example.org", headers = { authorization = "mine" } },
      { hosts = { "example.org" }, secrets = secrets }, answer(200, ""))
    local shown = {}
    for name, parts in pairs(asked.headers) do
      local texts = {}
      for index, part in ipairs(parts) do texts[index] = type(part) .. " " .. tostring(part) end
      shown[name] = texts
    end
    assert.same({ authorization = { "string Bearer ", "userdata secret://A_KEY", "string !" }, ["x-key"] = { "userdata secret://B/2" },
      ["x-both"] = { "userdata secret://A_KEY", "userdata secret://B/2" } }, shown)
    local output, message, code
    output, message, code, asked = run({ url = "http://example.org" }, { secrets = secrets }, answer(200, ""))
    assert.is_nil(output)
    assert.is_nil(asked)
    assert.equal("invalid", code)
    assert.matches("needs 'hosts'", message)
    assert.equal("denied", (select(3, run({ url = "http://evil.org" }, { hosts = { "example.org" }, secrets = secrets }, answer(200, "")))))
    assert.equal("invalid", (select(3, run({ url = "http://example.org" }, { hosts = { "example.org" }, secrets = { a = 1 } }, answer(200, "")))))
  end)

  it("fails on a status that is not accepted and quotes the answer", function()
    local output, message, code = run({ url = "http://x.org/y" }, {}, answer(404, "no\n such page"))
    assert.is_nil(output)
    assert.equal("failed", code)
    assert.equal("http: GET http://x.org/y answered 404: no such page", message)
    assert.equal(404, run({ url = "http://x.org/y" }, { accept = "2xx,404" }, answer(404, "")).status)
    assert.equal(500, run({ url = "http://x.org/y" }, { accept = "any" }, answer(500, "")).status)
  end)

  it("sends and reads JSON", function()
    local output, _, _, asked = run({ url = "http://x.org", method = "post", body = { a = 1 } }, { json = true },
      answer(200, '{"b":[1,2]}'))
    assert.equal('{"a":1}', asked.body)
    assert.equal("POST", asked.method)
    assert.equal("application/json", asked.headers["content-type"])
    assert.equal(2, output.body.b[2])
    local _, message, code = run({ url = "http://x.org" }, { json = true }, answer(200, "{"))
    assert.equal("invalid", code)
    assert.is_truthy(message:find("did not answer with JSON", 1, true))
  end)

  it("hands on why there was no answer", function()
    local _, message, code = run({ url = "http://x.org" }, {}, nil, "x.org: no route", "unavailable")
    assert.equal("x.org: no route", message)
    assert.equal("unavailable", code)
  end)

  it("refuses other protocols and a table without json", function()
    for _, input in ipairs({ { url = "file:///etc/passwd" }, { url = "x" }, {},
      { url = "http://x.org", body = {} } }) do
      local output, _, code, asked = run(input, {}, answer(200, ""))
      assert.is_nil(output)
      assert.equal("invalid", code)
      assert.is_nil(asked)
    end
  end)
end)
