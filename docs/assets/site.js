/* What the theme leaves out for screen readers and keyboards: a name for the search, code that can be scrolled by keys. */
document$.subscribe(function () {
  var search = document.querySelector(".md-search")
  if (search) search.setAttribute("aria-label", "Search")
  document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap, .md-typeset table").forEach(function (part) {
    if (part.scrollWidth > part.clientWidth) part.setAttribute("tabindex", "0")
  })
})
