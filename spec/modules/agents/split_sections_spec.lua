local testing = require "weir.testing"

local agent = testing.module "agents/split_sections"

local function split(lines, options)
  local ctx = testing.context(agent, { options = options, stream = lines })
  return ctx.emitted, agent.execute(ctx)
end

describe("agent split_sections", function()
  it("gives each section with its title, its level and the line of its heading", function()
    local sections, output = split { "before\n", "# One\n", "text\n", { text = "## Two *2*\n" }, "more\n", "and more\n" }
    assert.same({ { level = 0, line = 1, text = "before\n" }, { level = 1, line = 2, title = "One", text = "text\n" },
      { level = 2, line = 4, title = "Two 2", text = "more\nand more\n" } }, sections)
    assert.same({ sections = 3, lines = 6 }, output)
  end)

  it("takes no line of a block of code for a heading", function()
    local sections = split { "# One\n", "```sh\n", "# a comment\n", "~~~\n", "```\n", "# Two\n" }
    assert.same({ "One", "Two" }, { sections[1].title, sections[2].title })
    assert.equal(2, #sections)
  end)

  it("gives a section that is too long in parts", function()
    local sections = split({ "# One\n", "12345\n", "12345\n", "12345\n" }, { max_bytes = 12 })
    assert.same({ "12345\n12345\n", "12345\n" }, { sections[1].text, sections[2].text })
    assert.same({ "One", 4 }, { sections[2].title, sections[2].line })
  end)

  it("refuses what is no line", function()
    local ok, err = pcall(split, { 42 })
    assert.same({ false, "invalid" }, { ok, err.code })
  end)

  it("gives nothing for nothing", function()
    local sections, output = split { "\n" }
    assert.same({ {}, { sections = 0, lines = 1 } }, { sections, output })
  end)
end)
