// The page is its parts; each looks after a section.

import "./figures.js";
import "./publish.js";
import "./watch.js";
import "./active.js";
import "./explain.js";
import "./history.js";
