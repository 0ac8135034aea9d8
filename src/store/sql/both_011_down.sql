DROP TABLE house_moves;
