local line_of = require "weir.trigger.line"
local native = require "weir.native.scheduler"
local store_port = require "weir.port.store"

describe("the line of a pipeline", function()
  local store
  before_each(function()
    native.use_virtual_clock(1)
    store = assert(store_port.open ":memory:")
  end)
  after_each(function()
    store:close()
    native.use_real_clock()
  end)

  -- A line that hands nothing out, and in which items come and go as the leases of others are extended.
  local function line_with(carried, on_extend)
    local line = line_of.new({ host = { store = store } }, "p", { concurrency = 0, limit = 10 })
    for _, id in ipairs(carried) do line.carried[id] = { id = id } end
    line.queue.extend = function(_, item)
      native.yield()
      on_extend(line, item)
    end
    line:start()
    return line
  end

  it("keeps the leases of what it carries while other items come and go", function()
    local extended, is_first = {}, true
    local line = line_with({ "a", "b", "c", "d" }, function(line, item)
      extended[#extended + 1] = item.id
      if not is_first then return end
      is_first = false
      line.carried[item.id] = nil -- its run has ended
      for n = 1, 100 do line.carried["n" .. n] = { id = "n" .. n } end
    end)
    native.sleep(21)
    assert.equal("waiting", line.task:status())
    assert.equal(4, #extended)
    native.sleep(20)
    assert.equal(4 + 103, #extended)
    line:close()
  end)

  it("extends no lease of what has left meanwhile", function()
    local extended = {}
    local line = line_with({ "a", "b", "c" }, function(line, item)
      extended[#extended + 1] = item.id
      for id in pairs(line.carried) do line.carried[id] = nil end
    end)
    native.sleep(21)
    assert.equal(1, #extended)
    line:close()
  end)
end)
