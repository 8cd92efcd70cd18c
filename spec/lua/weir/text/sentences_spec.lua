local sentences = require "weir.text.sentences"

local function texts(text, options)
  local list = {}
  for index, sentence in ipairs(sentences.list(text, options)) do list[index] = sentence.text end
  return list
end

describe("text.sentences", function()
  it("ends sentences at full stops, exclamation and question marks", function()
    assert.same({ "It rose.", "Did it?", "Yes!", "It did…", "Then calm." },
      texts("It rose. Did it? Yes! It did… Then calm."))
  end)

  it("keeps titles, initials and abbreviations inside", function()
    assert.same({ "Dr. Smith met Mr. Jones at 5 p.m. on Monday.", "They spoke, cf. Fig. 3 there." },
      texts("Dr. Smith met Mr. Jones at 5 p.m. on Monday. They spoke, cf. Fig. 3 there."))
    assert.same({ "J. R. R. Tolkien wrote it.", "He lived in the U.S. Army barracks." },
      texts("J. R. R. Tolkien wrote it. He lived in the U.S. Army barracks."))
  end)

  it("learns an abbreviation from how the text uses it", function()
    assert.same({ "Take approx., or so, two.", "It is approx. Two litres." },
      texts("Take approx., or so, two. It is approx. Two litres."))
  end)

  it("does not end at the dot of a number, a version or a file name", function()
    assert.same({ "Pi is 3.14 here.", "See weir.lua and 1.2.3 first." },
      texts("Pi is 3.14 here. See weir.lua and 1.2.3 first."))
  end)

  it("knows German ordinals and abbreviations", function()
    assert.same({ "Am 3. Mai fuhr Hr. Müller z.B. nach Köln.",
      "Das 19. Jahrhundert war lang.", "Es kostet ca. 300 Euro." },
      texts("Am 3. Mai fuhr Hr. Müller z.B. nach Köln. Das 19. Jahrhundert war lang. Es kostet ca. 300 Euro."))
    assert.same({ "„Gut.“", "Er ging um 12.", "Die Sonne schien." }, texts("„Gut.“ Er ging um 12. Die Sonne schien."))
  end)

  it("keeps a German title with the name that follows", function()
    assert.same({ "Prof. Schulz lobt den alten Plan.", "Dem Rat schrieb Prof. Dr. Klein im Namen der Stadt." },
      texts("Prof. Schulz lobt den alten Plan. Dem Rat schrieb Prof. Dr. Klein im Namen der Stadt."))
  end)

  it("ends German sentences at short nouns", function()
    assert.same({ "Das alte Werk ging vom Netz.", "Kritiker der Stadt warnen vor Engpässen im Norden." },
      texts("Das alte Werk ging vom Netz. Kritiker der Stadt warnen vor Engpässen im Norden."))
  end)

  it("keeps a French exclamation inside its quotes", function()
    assert.same({ "Il a dit « Bonjour ! » à Mme. Martin.", "Qui est-ce ?" },
      texts("Il a dit « Bonjour ! » à Mme. Martin. Qui est-ce ?"))
  end)

  it("needs no space after a full-width terminator", function()
    assert.same({ "水很高。", "你知道吗？", "“是的。”", "他说！" }, texts("水很高。你知道吗？“是的。”他说！"))
  end)

  it("ends sentences in Arabic, Hindi, Amharic and Armenian", function()
    assert.same({ "هل تفهم ذلك؟", "نعم." }, texts("هل تفهم ذلك؟ نعم."))
    assert.same({ "यह एक है।", "यह दो है॥" }, texts("यह एक है। यह दो है॥"))
    assert.same({ "ሰላም ነው።", "ደህና።" }, texts("ሰላም ነው። ደህና።"))
    assert.same({ "Բարև ձեզ։", "Լավ է։" }, texts("Բարև ձեզ։ Լավ է։"))
  end)

  it("ends at a blank line and at a list item", function()
    local list = sentences.list("No end here\n\n- one thing\n- another thing. And more\n")
    assert.same({ "No end here", "one thing", "another thing.", "And more" },
      texts("No end here\n\n- one thing\n- another thing. And more\n"))
    assert.is_false(list[1].ended)
    assert.is_true(list[3].ended)
  end)

  it("gives verbatim bytes and the line each begins on", function()
    local text = "First\nline. Second\none here.\n\n\nThird är här. Fourth."
    local lines = {}
    for _, sentence in ipairs(sentences.list(text)) do
      assert.equal(sentence.text, text:sub(sentence.first, sentence.last))
      lines[#lines + 1] = sentence.line
    end
    assert.same({ 1, 2, 6, 6 }, lines)
  end)

  it("reads only the prose of Markdown", function()
    local text = "---\ntitle: No. Never.\n---\n# Head. Ing.\n\nReal *prose*. Yes.\n\n" ..
      "```lua\nnot(this). Nor this.\n```\n\n| a. | b. |\n|----|----|\n\n<div>\nno. no.\n</div>\n\n" ..
      "[ref]: http://no.no\n\nUnder. Line\n---\n\n    code. code.\n\n> Quoted."
    assert.same({ "Real *prose*.", "Yes.", "Quoted." }, texts(text, { markdown = true }))
  end)

  it("goes on in the code fence that a piece begins in", function()
    assert.same({ "Prose." }, texts("code. code.\n```\nProse.", { markdown = true, inside = "```" }))
  end)

  it("cuts what runs on without an end, between words and characters", function()
    local long = ("word "):rep(3000)
    for _, sentence in ipairs(sentences.list(long)) do assert.is_true(#sentence.text <= 2000) end
    local joined = {}
    for _, sentence in ipairs(sentences.list(("水"):rep(3000))) do
      assert.is_truthy(utf8.len(sentence.text))
      joined[#joined + 1] = sentence.text
    end
    assert.equal(("水"):rep(3000), table.concat(joined))
  end)

  it("survives any bytes", function()
    local seed = 7
    for _ = 1, 300 do
      local bytes = {}
      for index = 1, 60 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        bytes[index] = (". !\n#`'\"\xC3\x80\xE3\x80\x82\xFFaZ7|-> [](<>"):sub(seed % 30 + 1, seed % 30 + 1)
      end
      local text, at = table.concat(bytes), 0
      for _, sentence in ipairs(sentences.list(text, { markdown = seed % 2 == 0 })) do
        assert.is_true(sentence.first > at)
        at = sentence.last
      end
      assert.is_true(at <= #text)
    end
  end)
end)
