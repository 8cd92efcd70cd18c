-- What a person does with a living host: edits an agent while runs wait, breaks it, looks, tries, patches, rolls back.

local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local terminals = dofile "spec/lua/weir/cli/terminal.lua"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "%s" { upgrade = "%s",
  weir.step "first" { agent = "writer", input = { text = "one" } },
  weir.wait "go" { signal = "go" },
  weir.step "second" { agent = "writer", input = { text = "two" } },
  output = weir.list { "$.first", "$.second" },
}
]]
local WRITER = [[
local M = { kind = "agent", name = "writer", api = 1 }

function M.execute(_, input)
  return "%s " .. input.text
end

return M
]]

describe("a host that lives while its agents change", function()
  local folder, dev, repl
  local is_there = terminals.is_there()
  if not is_there then
    it("needs `script`", function() pending "script is not installed" end)
    return
  end

  setup(function()
    folder = support.folder()
    support.write(folder, "weir.lua", 'return { listen = "127.0.0.1:0" }\n')
    support.write(folder, "pipelines/pinned.lua", PIPELINE:format("pinned", "pin"))
    support.write(folder, "pipelines/moving.lua", PIPELINE:format("moving", "next_step"))
    support.write(folder, "pipelines/anew.lua", PIPELINE:format("anew", "restart"))
    support.write(folder, "modules/agents/writer.lua", WRITER:format "old")
    dev = terminals.start({ "dev" }, folder)
    assert.matches("/#token=", dev:await "\nrepl[^\n]+\n", 1, true)
  end)
  teardown(function()
    if repl then repl:close() end
    dev:close()
    support.remove(folder)
  end)

  local function weir(...)
    local done = support.host({ ... }, { cwd = folder })
    assert.equal(0, done.status, done.stderr)
    return done.stdout
  end

  local function start(pipeline)
    return weir("run", pipeline, "--detach"):match "r_%w+"
  end

  local function shown(run)
    return support.lines(weir("show", run, "--json"))[1]
  end

  local function await(run, holds)
    local ok = task.within({ timeout = 60 }, function()
      while not holds(shown(run)) do task.sleep(0.05) end
    end)
    assert.is_true(ok, ("run %s is %s"):format(run, shown(run).status))
  end

  local function has_begun(run) await(run, function(of) return of.data.first ~= nil end) end

  local function newest(pipeline)
    return support.lines(weir("runs", "--pipeline", pipeline, "--limit", "1", "--json"))[1].run
  end

  local function say(line)
    repl:press(line .. "\r")
    return repl:await "weir> "
  end

  it("serves each run the version it is to have, keeps serving past a broken file, and is changed from its REPL", function()
    local pinned, moving, anew = start "pinned", start "moving", start "anew"
    for _, run in ipairs { pinned, moving, anew } do has_begun(run) end

    support.write(folder, "modules/agents/writer.lua", WRITER:format "new")
    dev:await "reloaded[^\n]*agents/writer"
    await(anew, function(of) return of.status == "cancelled" end)
    dev:await "begun again"
    local again = newest "anew"
    has_begun(again)
    assert.same({ anew, "new one" }, { shown(again).of.run, shown(again).data.first })
    local later = start "pinned"
    has_begun(later)
    assert.equal("new one", shown(later).data.first)

    support.write(folder, "modules/agents/writer.lua", "local M = {\n  kind = \"agent\" name = \"writer\",\n}\nreturn M\n")
    local told = dev:await "return M"
    assert.matches("reload failed", told)
    assert.matches("writer.lua:2:", told, 1, true)
    local despite = start "pinned"
    has_begun(despite)
    assert.equal("new one", shown(despite).data.first)

    repl = terminals.start({ "repl" }, folder)
    repl:await "weir> "
    assert.matches(pinned .. "  pinned", say(('run("%s")'):format(pinned)))
    assert.matches('"new again"', say(('try("%s", "first", { input = { text = "again" } })'):format(pinned)))
    assert.matches('"new now"', say 'agents.writer { text = "now" }')
    say 'patch("agents/writer", "execute", function(_, input) return "patched " .. input.text end);'
    assert.matches('"patched now"', say 'agents.writer { text = "now" }')
    say 'rollback "agents/writer";'
    assert.matches('"new now"', say 'agents.writer { text = "now" }')

    for _, run in ipairs { pinned, moving, later, despite } do
      weir("signal", run, "go", "-q")
      await(run, function(of) return of.status == "finished" end)
    end
    assert.same({ "old one", "old two" }, shown(pinned).output)
    assert.same({ "old one", "new two" }, shown(moving).output)
    assert.same({ "new one", "new two" }, shown(later).output)
    assert.same({ "new one", "new two" }, shown(despite).output)

    support.write(folder, "modules/agents/writer.lua", WRITER:format "mended")
    local is_mended = task.within({ timeout = 60 }, function()
      while json.decode(weir("eval", 'agents.writer { text = "one" }')) ~= "mended one" do task.sleep(0.05) end
    end)
    assert.is_true(is_mended)
    dev:press "\3"
    assert.equal(0, assert(dev.child:wait(30)).status)
  end)
end)
