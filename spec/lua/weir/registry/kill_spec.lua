local clock = require "weir.port.clock"
local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"

local AGENT = [[return { kind = "agent", name = "talk", api = 1, execute = function() return { text = "%s" } end }]]
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "talking" { weir.step "talk" { agent = "talk" }, output = "$.talk.text" }
]]
local POINTS = { "before_request", "after_request" }
local KILLS_MAX = 100 -- of one command
local KILLS = math.tointeger(os.getenv "WEIR_KILLS") or 10 -- at random moments
local MANY = 100 -- of which some come before and some after the change

describe("a change of the version that serves, killed at every write", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}\n")
    support.write(folder, "pipelines/talking.lua", PIPELINE)
    for _, text in ipairs { "one", "two" } do
      support.write(folder, "modules/agents/talk.lua", AGENT:format(text))
      assert.equal(0, support.host({ "run", "talking", "--quiet" }, { cwd = folder }).status)
    end
  end)
  after_each(function() support.remove(folder) end)

  local function copy()
    local other = support.folder()
    assert(process.run { "cp", "-r", folder .. "/.", other })
    return other
  end

  -- What serves after a process was killed there; nil when the command came to its end.
  local function after_kill(arguments, point, count)
    local place = copy()
    local killed = support.host(arguments, { cwd = place, env = { WEIR_FAILPOINT = ("%s:%d"):format(point, count) } })
    local run = support.host({ "run", "talking", "--json" }, { cwd = place })
    support.remove(place)
    assert.equal(0, run.status, run.stderr)
    return support.lines(run.stdout)[1].output, killed.status == 0
  end

  local function sweep(arguments, before, after)
    local seen, kills = {}, 0
    for _, point in ipairs(POINTS) do
      for count = 1, KILLS_MAX do
        local output, is_over = after_kill(arguments, point, count)
        if is_over then
          assert.equal(after, output)
          break
        end
        kills = kills + 1
        assert.is_true(output == before or output == after, output)
        seen[output] = true
      end
    end
    assert.is_true(kills >= 2, kills)
    assert.same({ [before] = true, [after] = true }, seen)
  end

  it("leaves the old one or the new one: rollback", function() sweep({ "rollback", "talk" }, "two", "one") end)

  it("leaves the old one or the new one: reload", function()
    assert.equal(0, support.host({ "rollback", "talk" }, { cwd = folder }).status)
    sweep({ "reload", "talk" }, "one", "two")
  end)

  -- How long the command takes that is to be killed, in seconds.
  local function measured(arguments)
    local place, from = copy(), clock.now()
    assert.equal(0, support.host(arguments, { cwd = place }).status)
    local took = clock.now() - from
    support.remove(place)
    return took
  end

  it("leaves the old one or the new one, at whatever moment it is killed", function()
    local serving, changes = "two", 0
    local longest = 1.2 * measured { "rollback", "talk" }
    for _ = 1, KILLS do
      local is_back = serving == "two"
      local child = support.start({ is_back and "rollback" or "reload", "talk" }, { cwd = folder })
      clock.sleep(math.random() * longest)
      child:kill "sigkill"
      child:close()
      local run = support.host({ "run", "talking", "--json" }, { cwd = folder })
      assert.equal(0, run.status, run.stderr)
      local output = support.lines(run.stdout)[1].output
      assert.is_true(output == "one" or output == "two", output)
      if output ~= serving then changes = changes + 1 end
      serving = output
    end
    assert.is_true(KILLS < MANY or changes > 0 and changes < KILLS, changes)
  end)
end)
