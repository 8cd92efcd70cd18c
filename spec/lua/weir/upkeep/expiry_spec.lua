-- What is over leaves the store also when a row of its kind is damaged.
local context = require "weir.trigger.context"
local forget = require "weir.trigger.forget"
local incident = require "weir.healing.incident"
local log = require "weir.event.log"
local store_port = require "weir.port.store"
local tend = require "weir.approval.tend"

local DAY = 86400000
local FAR = 1 << 42 -- ms since 1970

describe("what is over of a kind", function()
  local store, damaged
  before_each(function()
    store, damaged = assert(store_port.open ":memory:"), {}
  end)
  after_each(function() store:close() end)

  -- As a store gives rows of which some cannot be read: only to who wants to know of such.
  local function with_damage()
    local function scan(_, space, query)
      local rows, message, code = store:scan(space, query)
      for _, row in ipairs(rows or {}) do
        if damaged[row.key] then
          if not (query and query.damaged) then return nil, "a row is damaged", "corrupt" end
          row.damaged, row.value = true, nil
        end
      end
      return rows, message, code
    end
    return setmetatable({ scan = scan }, { __index = function(_, name)
      return function(_, ...) return store[name](store, ...) end
    end })
  end

  local function keys(space)
    local list = {}
    for index, row in ipairs(store:scan(space, {})) do list[index] = row.key end
    return list
  end

  it("goes although an event before it is damaged, which goes too: its key says when it came", function()
    local all = {}
    for n = 1, 3 do
      local operation, offset = log.operation({ specversion = "1.0", id = "e" .. n, source = "/spec", type = "t" }, "api")
      assert(store:batch { operation })
      all[n] = offset
    end
    damaged[all[1]] = true
    assert.equal(3, log.expire(with_damage(), FAR))
    assert.same({}, keys(log.SPACE))
  end)

  it("goes although an incident is damaged, which stays", function()
    local all = {}
    for n = 1, 3 do
      local one = { id = ("i_0000000000000000000%d"):format(n), family = "f", state = "closed", at_ms = n }
      local operations = {}
      incident.write(operations, one)
      assert(store:batch(operations))
      all[n] = one.id
    end
    damaged[all[2]] = true
    assert.equal(2, incident.expire(with_damage(), 60 * DAY))
    assert.same({ all[2] }, keys(incident.SPACE))
  end)

  it("goes although a link is damaged, which stays", function()
    for n = 1, 3 do assert(store:put("approvals.links", "l" .. n, { expires_ms = n })) end
    damaged.l1 = true
    assert.equal(2, tend.forget_links(with_damage(), 100))
    assert.same({ "l1" }, keys "approvals.links")
  end)

  it("goes although what a source knows is damaged, which stays", function()
    for n = 1, 3 do assert(store:put(context.MEMORY, "p/" .. n, { memory = {}, gone_ms = 0 })) end
    damaged["p/1"] = true
    assert.equal(2, forget.sweep(with_damage(), { rounds = 1, sources = {}, broken = {} }, 60 * DAY))
    assert.same({ "p/1" }, keys(context.MEMORY))
  end)
end)
