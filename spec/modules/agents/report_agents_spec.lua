local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"

local documents, csv_table = testing.module "agents/folder_documents", testing.module "agents/csv_table"
local table_page, markdown_sections = testing.module "agents/table_page", testing.module "agents/markdown_sections"
local document_page, join_report = testing.module "agents/document_page", testing.module "agents/join_report"

local PAGE = "Before all.\n\n# The tide\n\nThe tide came in.\n\n## The wind *turned*\n\nIt blew from the north. The boats stayed in.\n\n## Empty\n"

describe("the agents of a report", function()
  local folder
  local function run(module, input, options)
    return module.execute(testing.context(module, { root = folder, options = options }), input)
  end

  setup(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/data/stock.csv", 'item,price,note\n"clock, brass",12.5,\nlamp,7,old\n', { folders = true }))
    assert(files.write(folder .. "/data/tide.md", PAGE))
    assert(files.write(folder .. "/data/more/x.CSV", "a\n1\n", { folders = true }))
    assert(files.write(folder .. "/data/other.txt", "x"))
    assert(files.write(folder .. "/broken.csv", "a,b\n1,2,3\n"))
    assert(files.write(folder .. "/empty.csv", "\n"))
  end)
  teardown(function() process.run { "rm", "-rf", "--", folder } end)

  it("find the documents of a folder by kind", function()
    assert.same({ csv_files = { "data/more/x.CSV", "data/stock.csv" }, markdown_files = { "data/tide.md" } }, run(documents, { folder = "data" }))
    assert.same({}, run(documents, { folder = "data", exclude = "./data/tide.md" }).markdown_files)
    assert.same({ csv_files = { "broken.csv", "empty.csv" }, markdown_files = {} }, run(documents, { folder = "." }, { recursive = false }))
  end)

  it("say when there is none, or none may be looked at", function()
    assert.equal("not_found", (select(3, run(documents, { folder = "nowhere" }))))
    assert(files.write(folder .. "/bare/other.txt", "x", { folders = true }))
    local _, message, code = run(documents, { folder = "bare" })
    assert.same({ "folder_documents: no CSV and no Markdown file is below 'bare'", "not_found" }, { message, code })
    assert.equal("denied", (select(3, run(documents, { folder = "../" }))))
    assert.equal("denied", (select(3, run(csv_table, { csv_file = "/etc/passwd" }))))
  end)

  it("read a CSV file as a table whose columns have kinds", function()
    local of = run(csv_table, { csv_file = "data/stock.csv" }).table
    assert.same({ "item", "price", "note" }, { table.unpack(of.columns) })
    assert.same({ "text", "number", "text" }, { table.unpack(of.kinds) })
    assert.same({ "clock, brass", "12.5", "" }, { table.unpack(of.rows[1]) })
  end)

  it("refuse what is no table", function()
    local _, message, code = run(csv_table, { csv_file = "broken.csv" })
    assert.same({ "csv_table: 'broken.csv': row 2 has 3 fields, and the head has 2", "invalid" }, { message, code })
    assert.equal("invalid", (select(3, run(csv_table, { csv_file = "empty.csv" }))))
    assert.equal("not_found", (select(3, run(csv_table, { csv_file = "gone.csv" }))))
    assert.equal("limit", (select(3, run(csv_table, { csv_file = "data/stock.csv" }, { max_rows = 1 }))))
    assert.equal("limit", (select(3, run(csv_table, { csv_file = "data/stock.csv" }, { max_bytes = 4 }))))
    assert.equal("invalid", (select(3, run(table_page, { table = { columns = {} } }))))
  end)

  it("write a table as a page, with what its numbers amount to", function()
    local page = run(table_page, run(csv_table, { csv_file = "data/stock.csv" }), { rows = 1 }).table_page
    assert.match("^## data/stock", page)
    assert.match("2 rows", page)
    assert.match("%- price: 19.5 in all, 9.75 on average, from 7 to 12.5", page)
    assert.match("| item | price | note |\n| %-%-%- | %-%-%-: | %-%-%- |\n| clock, brass | 12.5 |", page)
    assert.match("1 more rows stand in the file", page)
  end)

  it("read a Markdown file as its sections", function()
    local of = run(markdown_sections, { markdown_file = "data/tide.md" }).document
    assert.same({ "The tide", 4 }, { of.title, #of.sections })
    assert.same({ nil, "The tide", "The wind turned", "Empty" }, { of.sections[1].title, of.sections[2].title, of.sections[3].title, of.sections[4].title })
    assert.same({ 1, 3, 7 }, { of.sections[1].line, of.sections[2].line, of.sections[3].line })
    assert.equal("\n\nThe tide came in.\n\n", of.sections[2].text:gsub("^\n", "\n\n", 1):sub(1, 22))
  end)

  it("condense each section, linked to its line", function()
    local page = run(document_page, run(markdown_sections, { markdown_file = "data/tide.md" }), { words = 5 }).document_page
    assert.match("^## The tide\n", page)
    assert.match("%[The wind turned%]%(data/tide.md#L7%): %a", page)
    assert.match("and %d more sections", run(document_page, run(markdown_sections, { markdown_file = "data/tide.md" }), { sections = 1 }).document_page)
    assert.equal("invalid", (select(3, run(document_page, { document = {} }))))
  end)

  it("join pages with a list of what is in them", function()
    local report = run(join_report, { table_pages = { "## b\n\nx\n" }, document_pages = { "## a\n\ny\n" }, title = "All" }).report
    assert.equal("# All\n\n- Documents\n  - a\n- Tables\n  - b\n\n## a\n\ny\n\n## b\n\nx\n", report)
    assert.equal("# Report\n\n", (run(join_report, { table_pages = {}, document_pages = {} }).report:gsub("\n+$", "\n\n")))
  end)
end)
