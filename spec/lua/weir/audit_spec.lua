local audit = require "weir.audit"
local native = require "weir.native.scheduler"
local store_port = require "weir.port.store"

describe("the record of who changed what", function()
  it("keeps the order of changes within one millisecond", function()
    native.use_virtual_clock(nil, 0)
    local store <close> = assert(store_port.open ":memory:")
    for number = 1, 100 do audit.write(store, { by = "ada", action = "patch", what = tostring(number) }) end
    native.use_real_clock()
    local found = audit.list(store)
    assert.equal(100, #found)
    for number, one in ipairs(found) do assert.equal(tostring(number), one.value.what) end
    assert.equal("100", audit.list(store, { reverse = true, limit = 1 })[1].value.what)
  end)
end)
