local attacks = dofile "spec/lua/weir/sandbox/attacks.lua"
local process = require "weir.port.process"
local sandbox = require "weir.sandbox"
local task = require "weir.task"
local value = require "weir.value"

local LIMITS = { cpu_seconds = 1, seconds = 60, memory_bytes = 256 << 20 }

local function attempt(attack)
  local options = attack.options
  local result, message, code = sandbox.run { name = "attack", limits = LIMITS,
    source = options.source or ("return { execute = function(ctx, input) %s\nend }"):format(attack.body),
    grants = options.grants and { granted = function(argument) return argument end } or nil }
  return result and result.output or nil, code, message
end

local function is_expected(expected, output, code)
  if type(expected) == "table" then
    for _, one in ipairs(expected) do
      if is_expected(one, output, code) then return true end
    end
    return false
  end
  if expected == true then return output == true end
  return output == nil and code == expected
end

describe("the sandbox, under attack", function()
  it("has a corpus of at least 200 scripts, each with a title of its own", function()
    local titles = {}
    for _, attack in ipairs(attacks) do
      local title = attack.family .. ": " .. attack.title
      assert.is_nil(titles[title], title)
      titles[title] = true
    end
    assert.is_true(#attacks >= 200, #attacks .. " scripts")
  end)

  local families = {}
  for _, attack in ipairs(attacks) do
    families[attack.family] = families[attack.family] or {}
    table.insert(families[attack.family], attack)
  end

  for _, family in ipairs(value.names(families)) do
    it(("holds every script of the family '%s'"):format(family), function()
      local list, wrong = table.move(families[family], 1, #families[family], 1, {}), {}
      local function work()
        while #list > 0 do
          local attack = table.remove(list)
          local output, code, message = attempt(attack)
          if not is_expected(attack.expected, output, code) then
            wrong[#wrong + 1] = ("%s: output %s, code %s, %s"):format(attack.title, tostring(output), tostring(code), tostring(message))
          end
        end
      end
      assert(task.within({}, function() -- two at a time
        task.spawn(work)
        task.spawn(work)
      end))
      assert.same({}, wrong)
      assert.equal("1\n", process.run({ "sh", "-c", "echo 1" }).stdout) -- the host is well
    end)
  end
end)
