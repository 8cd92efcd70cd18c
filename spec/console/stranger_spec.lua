-- Test 86: pages of other sites in a browser, against a host that listens on this machine. What they try stands in
-- stranger.mjs; needs what console_spec.lua needs.
local browser = dofile "spec/console/browser.lua"
local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local CHECKS = {
  "forms of another site change nothing",
  "scripts of another site change nothing and read nothing",
  "beacons, pictures and scripts of another site change nothing",
  "no socket and no stream opens for another site",
  "a page whose name has come to mean this machine changes nothing and reads nothing",
  "no socket and no stream opens for it",
  "the same from the host's own page is taken",
}

local ASKING = [[
local weir = require "weir"
return weir.pipeline "asking" { weir.approval "go" { title = "Go on?" } }
]]
local HELLO = [[
local weir = require "weir"
return weir.pipeline "hello" { weir.step "say" { agent = "echo", input = "hello" } }
]]

describe("a page of somebody else in a browser", function()
  local absent = browser.missing()
  if absent then
    it("is opened where there is a browser", function() pending(absent) end)
    return
  end

  local folder, host
  local results, said = {}, ""

  setup(function()
    folder = support.folder()
    support.write(folder, "weir.lua", 'return { listen = "127.0.0.1:0" }\n')
    support.write(folder, "pipelines/asking.lua", ASKING)
    support.write(folder, "pipelines/hello.lua", HELLO)
    assert.equal(3, support.host({ "run", "asking", "--quiet" }, { cwd = folder }).status)
    local listed = support.lines(support.host({ "approvals", "--json" }, { cwd = folder }).stdout)
    host = support.start({ "dev", "--json" }, { cwd = folder })
    local line = assert(support.read_until(host.stdout, "\n"))
    local address = assert(json.decode(line:match "[^\n]+")).console
    local driven = browser.run("stranger.mjs", { address, listed[1].id }, 280)
    for _, result in ipairs(support.lines(driven.stdout)) do results[result.name] = result end
    said = driven.stderr
  end)

  teardown(function()
    host:kill "sigterm"
    host:wait(20)
    support.remove(folder)
  end)

  for _, name in ipairs(CHECKS) do
    it(name, function()
      local result = results[name]
      assert.is_truthy(result, "it was not tried: " .. said)
      assert.is_true(result.ok, result.error)
    end)
  end
end)
