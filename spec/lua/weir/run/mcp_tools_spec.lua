local json = require "weir.json"
local servers = require "spec.lua.weir.mcp.support"
local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

-- A model that makes one call and then says what it was told.
local function caller(name, arguments)
  return function(_, request)
    local last = request.messages[#request.messages]
    if last.role == "tool" then return { message = { role = "assistant", content = last.content }, finish = "stop" } end
    local names = {}
    for _, tool in ipairs(request.tools) do names[tool.name] = true end
    assert(names[name], "the tool is not offered")
    return { message = { role = "assistant", content = "", tool_calls = { { id = "c", name = name, arguments = arguments } } }, finish = "tool_calls" }
  end
end

describe("tools of MCP servers in a step", function()
  if servers.missing() then return pending(servers.missing()) end

  local function run(era, tools, model, decisions)
    return testing.run(P "served" { S "work" { agent = "ask", tools = tools, input = { prompt = "go" } }, output = "$.work.text" }, {
      settings = { mcp = { lab = servers.settings(era) } }, models = { m = model }, decisions = decisions, real_time = true })
  end

  for _, era in ipairs { "legacy", "modern" } do
    it("are called in the " .. era .. " era once a person has let them, and their text is the result", function()
      local shown
      local of = run(era, { "mcp/lab/echo" }, caller("lab_echo", { text = "hi" }), { approval = function(record)
        shown = json.decode(record.action).show
        return { decision = "approve", by = "ada" }
      end })
      assert.same({ "finished", "hi" }, { of.status, of.output })
      assert.same({ tool = "lab_echo", source = "mcp", of = "lab", arguments = { text = "hi" } }, shown)
    end)
  end

  it("need nobody where the owner says that they have no consequences", function()
    local of = run("legacy", weir.list { { use = "mcp/lab/*", has_consequences = false } }, caller("lab_echo", { text = "hi" }))
    assert.equal("hi", of.output)
  end)

  it("may ask a person in the middle of a call, and go on with the answer", function()
    local of = run("legacy", weir.list { { use = "mcp/lab/ask", has_consequences = false } }, caller("lab_ask", {}),
      { ["elicit#1"] = { decision = "approve", by = "ada", answer = { name = "Ada" } } })
    assert.equal("finished", of.status)
    assert.matches("Ada", of.output)
  end)

  it("that are not there, or whose server is not, fail the step before a model is asked", function()
    local asked = false
    local of = run("legacy", { "mcp/lab/ecko" }, function() asked = true end)
    assert.same({ "failed", "not_found", false }, { of.status, of.error.code, asked })
    assert.matches("did you mean 'echo'", of.error.message)
    local ok, message = pcall(run, "legacy", { "mcp/labb/echo" }, function() asked = true end)
    assert.same({ false, false }, { ok, asked })
    assert.matches("did you mean 'mcp/lab/echo'", message)
  end)

  it("that fail tell the model, which may go on", function()
    local of = run("legacy", weir.list { { use = "mcp/lab/die", has_consequences = false } }, caller("lab_die", {}))
    assert.equal("finished", of.status)
    assert.matches("error %(unavailable%)", of.output)
  end)
end)
