local testing = require "weir.testing"
local worlds = require "spec.lua.weir.trigger.world"

local function text_of(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

describe("pipeline inbox", function()
  it("digests each document of the folder as it arrives, and again when it is changed", function()
    local world = worlds.new { ["pipelines/inbox.lua"] = text_of "pipelines/inbox.lua", ["inbox/river.md"] = text_of "docs/store.md" }
    finally(function() world:close() end)
    world:ended("inbox", 1)
    world:write("inbox/sea.txt", "The tide came in at noon. Gulls stood on the wall. Nobody saw the boat.")
    world:ended("inbox", 2)
    assert.matches("The tide came in at noon", text_of(world.folder .. "/digests/inbox/sea.txt.md"))
    assert.matches("%.%./%.%./inbox/river%.md#L%d+", text_of(world.folder .. "/digests/inbox/river.md.md"))
    world:write("inbox/sea.txt", "The ebb came at six.")
    world:ended("inbox", 3)
    assert.matches("The ebb came at six", text_of(world.folder .. "/digests/inbox/sea.txt.md"))
  end)

  it("runs once for one document, as any pipeline", function()
    local run = testing.run("pipelines/inbox.lua", { input = { path = "a.md" },
      agents = { files = function(_, input) return { text = input.text or "The tide came in.", path = input.path, bytes = 1 } end } })
    assert.same({ "finished", "digests/a.md.md" }, { run.status, run.output.path })
  end)
end)
