--- Which words a corpus uses, and how often: the files below a folder are counted side by side, the counts added up as a
--- tree, and the most frequent words written as a table. Counted again, only what has changed is read.

local weir = require "weir"

return weir.pipeline "words" {
  doc = "Counts the words of all files below a folder",
  input = { path = "string = docs", glob = "string = *.{md,txt}", out = "string = words.txt" },
  weir.step "list" {
    agent = "files", options = { mode = "list", required = true }, input = { path = "$.input.path", glob = "$.input.glob" },
  },
  weir.map "counts" { over = "$.list.files", concurrency = { min = 2, max = 16 }, tolerate = "10%",
    weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.item" } },
    weir.map "parts" { over = "$.text", chunk = { agent = "chunk", options = { by = "lines", size = 200 } }, memo = "30d",
      weir.step "part" { agent = "tally", options = { min_length = 4 }, input = { text = "$.item.text" } },
      reduce = { agent = "tally", mode = "fold" } },
    reduce = { agent = "tally", mode = "tree", arity = 8 },
  },
  weir.step "table" { agent = "tally", options = { table = true, top = 1000 }, input = { acc = "$.counts" } },
  weir.step "write" { agent = "files", options = { mode = "write" }, input = { path = "$.input.out", text = "$.table.text" } },
  output = { words = "$.table.words", distinct = "$.table.distinct", path = "$.write.path" },
}
