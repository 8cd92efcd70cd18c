--- Word statistics of a folder as a Markdown table: a flow, for those who would rather write than
--- declare. Each file is counted beside the others; the table goes to a file.

local weir = require "weir"
local markdown = require "weir.text.markdown"
local tokens = require "weir.text.tokens"

local function names(keywords)
  local words = {}
  for index, keyword in ipairs(keywords) do words[index] = markdown.escape(keyword.word) end
  return table.concat(words, ", ")
end

local function page(title, rows)
  local lines = { "# " .. markdown.escape(title), "", "| file | words | about |", "| --- | ---: | --- |" }
  local total = 0
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("| %s | %d | %s |"):format(markdown.escape(row.path), row.words, names(row.keywords))
    total = total + row.words
  end
  lines[#lines + 1] = ("| all | %d | |"):format(total)
  return table.concat(lines, "\n") .. "\n", total
end

-- What a map gives for a failure that it tolerates is null.
local function present(results)
  local kept = {}
  for _, result in ipairs(results) do
    if result ~= weir.null then kept[#kept + 1] = result end
  end
  return kept
end

return weir.flow "publish" {
  doc = "Counts the words of the text files below a folder and writes a table",
  input = {
    path = "string = .",
    out = "string = words.md",
    glob = "string = *.{md,txt}",
    keywords = { type = "integer", minimum = 1, default = 5 },
  },
  function(run, input)
    local list = run:step "list" {
      agent = "files", options = { mode = "list", required = true },
      input = { path = input.path, glob = input.glob, exclude = input.out },
    }
    local counted = run:map "files" { over = list.files, concurrency = 4, tolerate = "50%", function(each, path)
      local file = each:step "read" { agent = "files", options = { mode = "read" }, input = { path = path } }
      local about = each:step "about" {
        agent = "keywords", options = { limit = input.keywords }, input = { text = file.text, source = path },
      }
      return { path = path, words = tokens.count(file.text), keywords = about.keywords }
    end }
    local rows = present(counted)
    local text, total = page("Words in " .. input.path, rows)
    local written = run:step "write" {
      agent = "files", options = { mode = "write" }, input = { path = input.out, text = text },
    }
    return { path = written.path, files = #rows, unread = #counted - #rows, words = total }
  end,
}
