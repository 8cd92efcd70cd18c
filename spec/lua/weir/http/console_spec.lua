local files = require "weir.port.files"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local NOBODY = { Authorization = false }

describe("the console's files", function()
  local world

  setup(function() world = worlds.new() end)
  teardown(function() world:close() end)

  local function ask(...) return world:ask(...) end

  it("are given without a token, with what a browser may do with them", function()
    for path, kind in pairs { ["/"] = "text/html", ["/console/main.js"] = "text/javascript", ["/console/console.css"] = "text/css",
      ["/console/icon.svg"] = "image/svg+xml", ["/console/pages/runs.js"] = "text/javascript" } do
      local answer = ask("GET", path, nil, NOBODY)
      assert.equal(200, answer.status, path)
      assert.matches(kind, answer.headers["content-type"], 1, true)
      assert.equal("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
        .. "form-action 'none'; frame-ancestors 'none'", answer.headers["content-security-policy"])
      assert.equal("no-cache", answer.headers["cache-control"])
      assert.equal("nosniff", answer.headers["x-content-type-options"])
    end
  end)

  it("are not sent again to who has them", function()
    local first = ask("GET", "/console/main.js", nil, NOBODY)
    local tag = first.headers.etag
    assert.matches('^"%x+"$', tag)
    local again = ask("GET", "/console/main.js", nil, { Authorization = false, ["If-None-Match"] = '"other", W/' .. tag })
    assert.same({ 304, "", tag }, { again.status, again.body, again.headers.etag })
    assert.equal(200, ask("GET", "/console/main.js", nil, { Authorization = false, ["If-None-Match"] = '"other"' }).status)
    assert.not_equal(tag, ask("GET", "/console/dom.js", nil, NOBODY).headers.etag)
  end)

  it("are those of the console and no others", function()
    for _, path in ipairs { "/console/nothing.js", "/console/main.lua", "/console/..%2F..%2Flua%2Fweir%2Finit.lua",
      "/console/%2e%2e/main.js", "/console/pages/..%2Fmain.js", "/console/pages", "/console/.hidden.js", "/console//main.js" } do
      local answer = ask("GET", path)
      assert.is_true(answer.status == 404 or answer.status == 400, ("%s: %d"):format(path, answer.status))
    end
    assert.equal(405, ask("POST", "/", {}).status)
  end)

  it("have an edition, so that a page knows when it is old", function()
    local first, second = ask("GET", "/console/edition", nil, NOBODY), ask("GET", "/console/edition", nil, NOBODY)
    assert.matches("^%x+\n$", first.body)
    assert.equal(first.body, second.body)
  end)

  it("refer to nothing outside of this host, and make no markup of data", function()
    for _, name in ipairs(assert(files.list("modules/console", { recursive = true }))) do
      local text = assert(files.read("modules/console/" .. name))
      for address in text:gmatch "https?://[%w.]+" do
        assert.equal("http://www.w3.org", address, name) -- the name of SVG's elements, never asked for
      end
      for _, sink in ipairs { "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function" } do
        assert.is_nil(text:find(sink, 1, true), name .. ": " .. sink)
      end
    end
  end)
end)

describe("what the console looks at", function()
  local world

  setup(function() world = worlds.new() end)
  teardown(function() world:close() end)

  local function ask(...) return world:ask(...) end

  it("counts the runs of each status", function()
    assert.equal("finished", ask("POST", "/api/runs?wait=30s", { pipeline = "hello" }).value.status)
    local counts
    assert.is_true(wire.eventually(function()
      counts = ask("GET", "/api/counts").value
      return counts.runs.finished == 1
    end))
    assert.equal(1, counts.all)
    assert.equal(401, ask("GET", "/api/counts", nil, NOBODY).status)
  end)

  it("tells all of one step: what it was asked, what came of it", function()
    local run = ask("POST", "/api/runs?wait=30s", { pipeline = "hello", input = { name = "Ada" } }).value.run
    local step = ask("GET", "/api/runs/" .. run .. "/steps/greet").value
    assert.same({ "greet", "finished", "echo", 1 }, { step.key, step.status, step.agent, step.attempt })
    assert.same({ { text = "Hello, Ada!" }, { text = "Hello, Ada!" } }, { step.input, step.output })
    assert.same({ 0, 0 }, { #step.attempts, #step.drafts })
    local refused = ask("GET", "/api/runs/" .. run .. "/steps/nothing%2Felse")
    assert.same({ 404, "not_found" }, { refused.status, refused.value.code })
  end)

  it("keeps the definition that a run had", function()
    local run = ask("POST", "/api/runs?wait=30s", { pipeline = "hello" }).value
    local kept = ask("GET", "/api/definitions/" .. run.version).value
    assert.same({ run.version, "hello", "greet" }, { kept.version, kept.normal.name, kept.normal.groups[1].name })
    assert.equal(404, ask("GET", "/api/definitions/" .. ("0"):rep(64)).status)
    assert.equal(404, ask("GET", "/api/definitions/definitions%2Fx").status)
  end)

  it("gives the source of the versions of modules and pipelines", function()
    local module = ask("GET", "/api/modules/agent/echo/versions").value.items[1]
    assert.is_true(module.active)
    assert.matches('name = "echo"', module.source, 1, true)
    local pipeline = ask("GET", "/api/modules/pipeline/hello/versions").value.items[1]
    assert.matches("name: hello", pipeline.source, 1, true)
    assert.equal(404, ask("GET", "/api/modules/agent/nobody/versions").status)
  end)

  it("says at once what a run waits for", function()
    world.host.engine.patience = 60
    local run = ask("POST", "/api/runs", { pipeline = "call" }).value.run
    local line
    assert.is_true(wire.eventually(function()
      for _, one in ipairs(ask("GET", "/api/runs").value.items) do
        if one.run == run then line = one end
      end
      return line and line.waiting[1]
    end))
    assert.same({ "waiting", "answer", "signal" }, { line.status, line.waiting[1].step, line.waiting[1].kind })
    local whole = ask("GET", "/api/runs/" .. run).value
    assert.same({ "waiting", "waiting" }, { whole.status, whole.steps[1].status })
    assert.equal("running", world.host.store:row(run).status)
    local resumed = ask("POST", ("/api/runs/%s/resume"):format(run)) -- it is not parked, and goes on by itself
    assert.same({ 202, "waiting" }, { resumed.status, resumed.value.status })
    local listed = ask("GET", "/api/runs?status=waiting&pipeline=call").value.items
    assert.equal(run, listed[1].run)
    for _, one in ipairs(ask("GET", "/api/runs?status=running").value.items) do assert.not_equal(run, one.run) end
    assert.is_true(wire.eventually(function() return (ask("GET", "/api/counts").value.runs.waiting or 0) >= 1 end)) -- good for a second
    world.host.engine.patience = 0
    ask("POST", "/api/runs/" .. run .. "/signal", { name = "go", value = 1 })
  end)
end)
