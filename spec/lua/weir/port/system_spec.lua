local json = require "weir.native.json"
local system = require "weir.port.system"

describe("the system", function()
  it("gives the id of the process as an integer, which is what JSON shows", function()
    assert.equal("integer", math.type(system.process_id()))
    assert.matches("^%d+$", json.encode(system.process_id()))
  end)
end)
