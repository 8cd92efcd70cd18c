local interrupt = require "weir.cli.interrupt"
local task = require "weir.task"
local uv = require "luv"

describe("an interruption", function()
  local exit, ended, first, said
  local err = { line = function(_, text) said[#said + 1] = text end }

  before_each(function()
    exit, ended, first, said = os.exit, nil, {}, {}
    os.exit = function(status) ended = status end -- luacheck: ignore 122
  end)
  after_each(function()
    os.exit = exit -- luacheck: ignore 122
  end)

  local function watch()
    return interrupt.watch(err, function(name) first[#first + 1] = name end)
  end

  local function send(signal, condition)
    uv.kill(uv.os_getpid(), signal)
    for _ = 1, 4000 do
      if condition() then return end
      task.sleep(0.005)
    end
    error(("nothing happened after %s"):format(signal))
  end

  it("asks at the first signal and ends the process at the second, whichever they are", function()
    local watching = watch()
    send("sigint", function() return #first == 1 end)
    assert.is_true(watching.came)
    assert.is_nil(ended)
    send("sigterm", function() return ended ~= nil end)
    assert.equal(130, ended)
    assert.same({ "sigint" }, first)
    assert.matches("stopped at once", said[1])
    watching:close()
  end)

  it("is not watched for once closed; closing twice does no harm", function()
    local watching, other = watch(), watch()
    watching:close()
    watching:close()
    send("sighup", function() return #first == 1 end)
    assert.is_false(watching.came)
    assert.is_true(other.came)
    other:close()
  end)
end)
