SELECT id FROM campaigns WHERE objective = 'click'
